"""The tree of errors that reach a person, with their codes, places, hints and exit statuses.

    TekError
    ├── InputError                    exit 2   what was given cannot be used
    │   ├── PlanRejected                       one or more faults in a plan's sources
    │   ├── UsageError                         options or values that do not fit together
    │   ├── KeyUnusable                        a file of a key is damaged, open to others, or cannot be made
    │   └── NotFound                           no such run, task or file
    ├── ClusterError                  exit 3   the cluster could not be reached, or failed
    │   ├── ConnectionLost                     the server did not answer
    │   ├── ServerMissing                      no server program was found on this machine
    │   ├── ServerFailed                       the embedded server did not start
    │   └── WorkerFailed                       a worker does not start or keeps dying
    ├── EvidenceUnwritable            exit 3   the folder of a run cannot be written
    ├── EvidenceForeign               exit 3   what a server holds under a run's id is not that run
    └── Refused                       exit 4   understood, and will not be done
        ├── NeedsUnmet                         no known worker could ever run a task
        ├── SecretExposed                      a plan holds the value of a secret
        ├── ProtocolUnknown                    no worker speaks a version that goes with this one
        ├── TasksBusy                          tasks are queued or run that would have to stand still
        └── TasksBlocked                       tasks wait for something that has not succeeded

`Place` says where in a file a value stands, `Fault` is one thing wrong with a plan. Signals that only
steer control flow are not errors and do not live here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "ClusterError",
    "ConnectionLost",
    "EvidenceForeign",
    "EvidenceUnwritable",
    "Fault",
    "InputError",
    "KeyUnusable",
    "NeedsUnmet",
    "NotFound",
    "Place",
    "PlanRejected",
    "ProtocolUnknown",
    "Refused",
    "SecretExposed",
    "ServerFailed",
    "ServerMissing",
    "TasksBlocked",
    "TasksBusy",
    "TekError",
    "UsageError",
    "WorkerFailed",
]


_PLACES_SHOWN = 12


class Place(NamedTuple):
    """Where a value stands in a source file; a tuple, since a large plan has a million of them."""

    file: str
    """Path as the user gave it."""
    line: int = 0
    """Physical line, from 1; 0 when the file as a whole is meant."""
    column: int = 0
    """Column in characters, from 1; 0 when the line as a whole is meant."""

    def __str__(self) -> str:
        numbers = [str(number) for number in (self.line, self.column) if number]
        return ":".join([self.file, *numbers])


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong (or, as a warning, noteworthy) in a plan's sources."""

    code: str
    """Stable name, dotted: `plan.cycle`, `csv.ragged`."""
    message: str
    """What is wrong, with the value in backticks; no final full stop."""
    places: tuple[Place, ...] = ()
    """Where; several for faults between tasks."""
    hint: str | None = None
    """What to do about it."""

    def render(self, label: str = "error") -> str:
        """Return the fault as the lines a person reads; `label` is `error` or `warning`."""
        lines = [f"{label}[{self.code}]: {self.message}"]
        if self.places:
            shown = [str(place) for place in self.places[:_PLACES_SHOWN]]
            if len(self.places) > len(shown):
                shown.append(f"and {len(self.places) - len(shown):,} more")
            lines.append("  at " + ", ".join(shown))
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class TekError(Exception):
    """Anything that `tek` reports to a person instead of a traceback."""

    code = "error"
    """Stable name for scripts."""
    exit_status = 1
    """What the process exits with."""

    def __init__(self, message: str, *, hint: str | None = None, place: Place | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place

    def faults(self) -> Sequence[Fault]:
        """Return what is wrong, one entry each; most errors have exactly one."""
        places = () if self.place is None else (self.place,)
        return [Fault(self.code, self.message, places, self.hint)]


class InputError(TekError):
    """What was given cannot be used; nothing was started."""

    code = "input"
    exit_status = 2


class PlanRejected(InputError):
    """A plan's sources have faults; all of them are listed and nothing was started."""

    code = "plan.rejected"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = tuple(faults)
        super().__init__(f"{len(self._faults)} faults in the plan")

    def faults(self) -> Sequence[Fault]:
        """Return all of them."""
        return self._faults


class UsageError(InputError):
    """Options or settings that do not fit together, or a value out of its range."""

    code = "usage"


class KeyUnusable(InputError):
    """A file of a key is damaged, open to others, or cannot be read or made; nothing was signed or started."""

    code = "key.unusable"


class NotFound(InputError):
    """A run, task or file that is not there."""

    code = "not_found"


class ClusterError(TekError):
    """The cluster could not be reached or failed; what was submitted stays submitted."""

    code = "cluster"
    exit_status = 3


class ConnectionLost(ClusterError):
    """The server did not answer; a call may or may not have taken effect (all scripts may be repeated)."""

    code = "cluster.connection"


class ServerMissing(ClusterError):
    """No server program was found on this machine; nothing was started."""

    code = "server.missing"


class ServerFailed(ClusterError):
    """The embedded server did not start or did not answer; it was ended."""

    code = "server.failed"


class WorkerFailed(ClusterError):
    """A worker does not start, or dies again and again; the run stays in the store."""

    code = "worker.failed"


class EvidenceUnwritable(TekError):
    """The folder of a run cannot be written (disk full, no right); what the server holds is unharmed."""

    code = "evidence.unwritable"
    exit_status = 3


class EvidenceForeign(TekError):
    """A server holds another plan under a run's id than its folder at home, or its signed head; nothing was written."""

    code = "evidence.foreign"
    exit_status = 3


class Refused(TekError):
    """The request was understood and is not carried out; nothing was started."""

    code = "refused"
    exit_status = 4


class NeedsUnmet(Refused):
    """Some tasks ask for more than any known worker has; nothing was submitted."""

    code = "needs.unmet"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = tuple(faults)
        super().__init__(f"{len(self._faults)} tasks ask for more than any worker has")

    def faults(self) -> Sequence[Fault]:
        """Return all of them."""
        return self._faults


class SecretExposed(Refused):
    """A plan holds the value of a variable that is secret; it would be kept with the run. Nothing was submitted."""

    code = "secret.exposed"

    def __init__(self, variable: str) -> None:
        super().__init__(
            f"the plan holds the value of `{variable}`, which would be kept wherever the run is",
            hint=f"have the command read it from its environment, as `${variable}`: workers give it to their tasks",
        )
        self.variable = variable
        """Name of the variable."""


class ProtocolUnknown(Refused):
    """All workers of the cluster speak versions of the protocol that do not go with this one; nothing was submitted."""

    code = "protocol.unknown"

    def __init__(self, versions: Sequence[int], *, own: int) -> None:
        there = ", ".join(map(str, versions))
        super().__init__(
            f"the workers of this cluster speak protocol {there}, which does not go with {own} here",
            hint="install the version of `taskexec` that the workers have, or one next to it",
        )
        self.versions = tuple(versions)
        """Versions that are there, ascending."""


class TasksBusy(Refused):
    """Tasks that are held, queued or run would have to stand still for this; nothing was changed."""

    code = "tasks.busy"

    def __init__(self, message: str, *, indexes: Sequence[int] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.indexes = tuple(indexes)
        """Their positions in the plan; none when the run as a whole is meant."""


class TasksBlocked(Refused):
    """Tasks cannot run again, since something they depend on has not succeeded; nothing was changed."""

    code = "tasks.blocked"

    def __init__(self, message: str, *, indexes: Sequence[int] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.indexes = tuple(indexes)
        """Their positions in the plan."""
