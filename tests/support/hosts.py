"""Hosts on a network of their own: network namespaces joined by a bridge, whose links can be cut.

Nothing outside is touched: the bridge has a namespace as well. All of it goes with the names that were made here.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from support.isolation import Place

__all__ = ["EXECUTABLE", "Host", "Hosts", "network", "why_not"]

EXECUTABLE = Path(sys.executable).with_name("tek")
_IP = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin") or "ip"


def _ip(*arguments: str) -> None:
    subprocess.run([_IP, *arguments], check=True, capture_output=True, text=True)


def why_not() -> str | None:
    """Return why there can be no namespaces here; None when there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are a matter of Linux"
    name = f"tek-try-{secrets.token_hex(4)}"
    try:
        _ip("netns", "add", name)
    except FileNotFoundError:
        return "there is no program `ip` (Debian: iproute2)"
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not allowed here: {error.stderr.strip()}"
    try:
        _ip("-n", name, "link", "add", "tkp0", "type", "bridge")
        _ip("-n", name, "link", "add", "tkv0", "type", "veth", "peer", "name", "tkv1")
    except subprocess.CalledProcessError as error:
        return f"bridges or pairs of links are not allowed here: {error.stderr.strip()}"
    finally:
        _ip("netns", "del", name)
    return None


class Host:
    """One host: a namespace with one link and an address of its own, and folders of its own for state."""

    def __init__(self, place: Place, prefix: str, name: str, number: int) -> None:
        self.name = name
        self.namespace = f"{prefix}-{name}"
        self.address = f"10.203.77.{number}"
        self.port = f"tkp{number}"
        """Its end of the cable in the bridge's namespace."""
        self._switch = f"{prefix}-switch"
        self._place = place
        self.state = place.folder / f"state-{name}"
        self.state.mkdir()

    def plug_in(self) -> None:
        _ip("netns", "add", self.namespace)
        _ip(
            "-n",
            self._switch,
            "link",
            "add",
            self.port,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            self.namespace,
        )
        _ip("-n", self._switch, "link", "set", self.port, "master", "bridge", "up")
        _ip("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", self.namespace, "link", "set", device, "up")

    def cut(self) -> None:
        """Pull the cable: nothing passes, and nobody is told."""
        _ip("-n", self._switch, "link", "set", self.port, "down")

    def heal(self) -> None:
        _ip("-n", self._switch, "link", "set", self.port, "up")

    def drop(self, chain: str) -> None:
        """Drop everything that comes in (`INPUT`) or goes out (`OUTPUT`)."""
        self._run("iptables", "-A", chain, "-i" if chain == "INPUT" else "-o", "eth0", "-j", "DROP")

    def pass_again(self, chain: str) -> None:
        self._run("iptables", "-F", chain)

    def reaches(self, address: str, port: int) -> bool:
        """Return whether a connection to an address can be made from here now."""
        program = f"import socket; socket.create_connection(({address!r}, {port}), timeout=2)"
        try:
            self._run(sys.executable, "-c", program)
        except subprocess.CalledProcessError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin") or program
        subprocess.run(
            [_IP, "netns", "exec", self.namespace, found, *arguments], check=True, capture_output=True, text=True
        )

    def environ(self) -> dict[str, str]:
        return self._place.environ() | {"XDG_STATE_HOME": str(self.state)}

    def start(
        self, argv: Sequence[object], *, cwd: Path, log: Path, environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program on this host; its standard error goes to a file."""
        naming = 'hostname "$0" 2>/dev/null; exec "$@"'  # a name of its own, where the system lets us
        command = [_IP, "netns", "exec", self.namespace, "unshare", "--uts", "/bin/sh", "-c", naming, self.name]
        with log.open("ab") as errors:
            return subprocess.Popen(
                [*command, *map(str, argv)],
                cwd=cwd,
                env=dict(environ or self.environ()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )


class Hosts:
    """A server's host, a submitter's, and those of workers."""

    def __init__(self, place: Place, workers: int) -> None:
        self.prefix = f"tek-{os.getpid()}-{secrets.token_hex(3)}"
        self.switch = f"{self.prefix}-switch"
        self.server = Host(place, self.prefix, "server", 1)
        self.submitter = Host(place, self.prefix, "submitter", 2)
        self.workers = [Host(place, self.prefix, f"worker{number}", 10 + number) for number in range(1, workers + 1)]

    @property
    def all(self) -> list[Host]:
        return [self.server, self.submitter, *self.workers]


@contextlib.contextmanager
def network(place: Place, *, workers: int) -> Iterator[Hosts]:
    """Give hosts that reach each other; their namespaces are removed by the names that they were given."""
    hosts = Hosts(place, workers)
    try:
        _ip("netns", "add", hosts.switch)
        _ip("-n", hosts.switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", hosts.switch, "link", "set", "bridge", "up")
        for host in hosts.all:
            host.plug_in()
        yield hosts
    finally:
        for name in [*(host.namespace for host in hosts.all), hosts.switch]:
            subprocess.run([_IP, "netns", "del", name], check=False, capture_output=True)
