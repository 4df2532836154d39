"""What faults are done on, and what is written down of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from taskexec.chaos.faults import Fault
from taskexec.chaos.target import Target

__all__ = ["Done", "Ground"]


class Ground(Protocol):
    """What faults are done on."""

    run_id: str

    def targets(self) -> list[Target]:
        """Return the workers that are there now, the longest-lived first.

        Raises:
            ConnectionLost: The server did not answer.
        """

    def kill_server(self, down_s: float) -> str | None:
        """Kill the server, which comes back after `down_s`; return how it is told, or None when it is away already."""

    def restart_server(self) -> str | None:
        """Restart the server in an orderly way; return how it is told, or None when it is away already."""

    def tend(self) -> None:
        """Start again what died and is to live."""

    def server_now(self) -> float:
        """Return the server's time in seconds since the epoch, whether it answers or not."""


@dataclass(slots=True, kw_only=True)
class Done:
    """A fault that has happened."""

    fault: Fault
    at: float
    """Server time, in seconds since the epoch."""
    target: str
    """Whom it struck: names of workers, process ids, or `server`."""
    workers: tuple[str, ...] = ()
    """Workers that died of it."""
    task: str | None = None
    """The task whose process was killed."""
    undone_at: float | None = None
    """When it was undone; None when it was not, or there was nothing to undo."""
