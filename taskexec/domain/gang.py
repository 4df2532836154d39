"""The layout of a gang: where the ranks of a distributed attempt are, and the variables that tell each of them."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

__all__ = ["Layout"]


class Layout(NamedTuple):
    """Where the ranks of a distributed attempt are."""

    hosts: tuple[str, ...]
    """Address of the host of each rank, by rank."""
    port: int
    """A port that was free on the host of rank 0."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The hosts, each once, in the order of their first ranks."""
        return tuple(dict.fromkeys(self.hosts))

    def variables(self, rank: int) -> dict[str, str]:
        """Return what torchrun and its like tell a rank, and `TEK_HOSTS`: the host of each rank."""
        host = self.hosts[rank]
        return {
            "RANK": str(rank),
            "WORLD_SIZE": str(len(self.hosts)),
            "LOCAL_RANK": str(self.hosts[:rank].count(host)),
            "LOCAL_WORLD_SIZE": str(self.hosts.count(host)),
            "NODE_RANK": str(self.nodes.index(host)),
            "MASTER_ADDR": self.hosts[0],
            "MASTER_PORT": str(self.port),
            "TEK_HOSTS": ",".join(self.hosts),
        }

    def hostfile(self) -> str:
        """Return the hosts as launchers of MPI read them: a line `host slots=n` for each."""
        counts = Counter(self.hosts)
        return "".join(f"{host} slots={counts[host]}\n" for host in self.nodes)
