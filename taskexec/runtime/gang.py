"""A gang: the ranks of a distributed attempt, which begin together, end together and are accounted for as one.

Rank 0 leads: it claims the attempt and completes it. The others enter with a lease of their own. All meet at a barrier:
the leader waits until the last has entered, then tells all at once where everybody is. Each rank listens to a bell, a
stream in Redis of its own:

- `begun <rank>` and `done <rank> <record>` tell the leader that a rank has entered, and how it went;
- `go <layout>` lets the others begin, `end` has them stop, because a rank has failed;
- `lost`, `cancelled` and `over` tell all that their leases have ended, with the attempt.
"""

from __future__ import annotations

import contextlib
import platform
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from taskexec.agents import Outcome
from taskexec.domain.clock import iso_time, seconds_of
from taskexec.domain.gang import Layout
from taskexec.domain.program import Grant, Member
from taskexec.domain.states import Reason
from taskexec.errors import ConnectionLost
from taskexec.runtime.workplace import AttemptRunner
from taskexec.store.bells import RedisBells
from taskexec.store.connection import keep_trying
from taskexec.store.runs import RedisRunStore

__all__ = ["Follower", "Gang", "Leader", "host_address", "told_of"]

_LISTEN_S = 0.8
"""Longest time that one call waits for a word; a server's answer is awaited for at least a second."""
_LOOK_S = 0.5
"""A lease that was lost without a word is found after so long."""
_UNREADABLE: Mapping[str, Any] = {
    "status": "failed",
    "reason": Reason.INFRASTRUCTURE,
    "error": "its record cannot be read",
    "exit_status": None,
    "signal": None,
    "finished_at": iso_time(0),
    "files": {},
}
_STOP = "stop"
_OVER = frozenset({"lost", "cancelled", "over"})
_KEPT = (
    *("worker", "host", "pid", "status", "reason", "error", "exit_status", "signal", "started_at", "finished_at"),
    "usage",
)
"""What the record of an attempt says of each rank."""


def host_address(url: str) -> str:
    """Return the address at which this host is reached by others that use the same server.

    It is the one that we would talk to the server from; on a socket of this machine nobody else does.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix" or not parts.hostname:
        return "127.0.0.1"
    with contextlib.suppress(OSError):
        family, kind, *_, target = socket.getaddrinfo(parts.hostname, parts.port or 6379, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)  # nothing is sent
            return str(probe.getsockname()[0])
    return platform.node()


def told_of(address: str) -> str:
    """Return what a rank says of itself when it enters."""
    return orjson.dumps({"address": address}).decode()


def _parse(line: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the record of a rank and its evidence that travels with it: empty files, since others went in chunks."""
    text, _, rest = line.partition("\t")
    try:
        record, inline = {**_UNREADABLE, **orjson.loads(text)}, orjson.loads(rest or "{}")
    except (orjson.JSONDecodeError, TypeError):
        return dict(_UNREADABLE), {}
    return record, {name: "" for name, file in record["files"].items() if not file["bytes"]} | inline


def _free_port() -> int:
    """Return a port that nobody uses here now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class Gang(ABC):
    """The gang of a distributed attempt, as one of its ranks sees it; `Leader` and `Follower` say what a rank does."""

    def __init__(self, bells: RedisBells, token: str, *, rank: int, ranks: int) -> None:
        self.rank = rank
        self.ranks = ranks
        self.barrier_s = 0.0
        """How long it has waited at the barrier."""
        self._bells = bells
        self._token = token
        self._changed = threading.Condition()
        self._runner: AttemptRunner | None = None
        self._is_over = False
        self._is_ended = False
        self._thread: threading.Thread | None = None

    def listen(self) -> None:
        """Begin to listen, in a thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="tek-bell", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        if self._thread is None:
            return
        keep_trying(lambda: self._bells.ring([self._token], _STOP))
        self._thread.join()
        with contextlib.suppress(ConnectionLost):
            self._bells.close(self._token)

    def _loop(self) -> None:
        after, is_away = "0", False
        while True:
            try:
                words = self._bells.listen(self._token, after, wait_s=_LISTEN_S)
                if is_away:
                    self._say_again()
            except ConnectionLost:
                is_away = True
                time.sleep(_LISTEN_S)  # the server is away: nothing could wake this thread
                continue
            is_away = False
            for after, word in words:  # noqa: B007 - the last one's is where the next call goes on
                if word == _STOP:
                    return
                with self._changed:
                    self._hear(*word.partition(" ")[::2])
                    self._changed.notify_all()

    def _say_again(self) -> None:  # noqa: B027 - not every rank has something to say again
        """Repeat what others wait for, to a server that was away and may have lost it."""

    def give_up(self) -> None:
        """End, because the lease was lost and nobody said so."""
        with self._changed:
            self._is_over = True
            self._end()
            self._changed.notify_all()

    def _hear(self, kind: str, rest: str) -> None:
        """Take in a word; `_changed` is held."""
        if kind in _OVER:
            self._is_over = True
            self._end()

    def _end(self) -> None:
        """Have the processes of this rank end."""
        self._is_ended = True
        if self._runner is not None:
            self._runner.abort(Reason.CANCELLED)

    def meet(self, runner: AttemptRunner) -> Layout | Outcome:
        """Wait at the barrier; return where everybody is, or the outcome of an attempt that does not begin."""
        self._runner = runner
        self.listen()
        began = time.monotonic()
        found = self._meet()
        self.barrier_s = time.monotonic() - began
        return found

    @abstractmethod
    def _meet(self) -> Layout | Outcome:
        """Meet the other ranks; return who is where, or how the attempt ended instead."""

    def conclude(self, outcome: Outcome, span: tuple[float, float]) -> Outcome:
        """Return the outcome of the whole, where this rank's is `outcome`, in so many seconds of the server's time."""
        return outcome

    def add_to(self, record: dict[str, Any], inline: dict[str, Any]) -> None:  # noqa: B027 - a follower adds nothing
        """Add what is known of the others to the record of an attempt, and to the evidence that travels with it."""

    def _await(self, is_enough: Callable[[], bool], until: float = float("inf")) -> bool:
        """Wait for something, until a time or until this rank has to end; return whether it is so."""
        with self._changed:
            while not is_enough():
                left_s = until - time.monotonic()
                if left_s <= 0 or self._must_end():
                    return False
                self._changed.wait(min(left_s, _LOOK_S))
            return True

    def _must_end(self) -> bool:
        """Return whether the attempt is over: it was said, or the lease was found to be lost."""
        is_lost = self._runner is not None and self._runner.is_aborted and not self._is_ended
        return self._is_over or is_lost


class Follower(Gang):
    """A rank above 0."""

    def __init__(self, bells: RedisBells, token: str, *, rank: int, ranks: int) -> None:
        super().__init__(bells, token, rank=rank, ranks=ranks)
        self._layout: Layout | None = None

    def _hear(self, kind: str, rest: str) -> None:
        if kind == "go":
            hosts, port = orjson.loads(rest)
            self._layout = Layout(tuple(hosts), port)
        elif kind == "end":
            self._end()
        super()._hear(kind, rest)

    def await_word(self) -> None:
        """Wait until the leader is there, or the attempt over: nobody would hear what happened here before."""
        self.listen()
        self._await(lambda: self._layout is not None or self._is_ended)

    def _meet(self) -> Layout | Outcome:
        self._await(lambda: self._layout is not None or self._is_ended)
        if self._layout is None or self._is_ended:
            return Outcome(succeeded=False, reason=Reason.CANCELLED, error="its attempt ended before it began")
        return self._layout


class Leader(Gang):
    """Rank 0: it has the last word on when all begin, and on how the attempt went."""

    def __init__(
        self,
        bells: RedisBells,
        token: str,
        *,
        store: RedisRunStore,
        run_id: str,
        member: Member,
        grant: Grant,
        address: str,
        timeout_s: float,
    ) -> None:
        super().__init__(bells, token, rank=0, ranks=len(grant.ranks))
        self._store = store
        self._run_id = run_id
        self._member = member
        self._grant = grant
        self._address = address
        self._timeout_s = timeout_s
        self._heard = 0
        self._others: list[str] = []
        self._said: list[str] = []
        self._records: dict[int, dict[str, Any]] = {}
        self._inline: dict[str, Any] = {}
        self._own: tuple[Outcome, tuple[float, float]] | None = None
        self._has_all = False

    def _hear(self, kind: str, rest: str) -> None:
        self._heard += 1
        if kind == "done":
            rank, _, line = rest.partition(" ")
            record, inline = _parse(line)
            self._records[int(rank)] = record
            self._inline |= {f"rank-{rank}/{name}": content for name, content in inline.items()}
            if record["status"] != "succeeded":
                self._end_all()
        super()._hear(kind, rest)

    def _meet(self) -> Layout | Outcome:
        until = time.monotonic() + self._timeout_s
        while True:
            seen = self._heard
            begun = keep_trying(lambda: self._store.begun(self._run_id, self._member, self.ranks))
            missing = [rank for rank, one in enumerate(begun) if one is None]
            if not missing:
                break
            # mypy cannot infer a lambda with a default, which binds the number of this turn
            if not self._await(lambda seen=seen: self._heard > seen, until):  # type: ignore[misc]
                return self._not_met(missing)
        hosts = [orjson.loads(one.told)["address"] if one and one.told else self._address for one in begun]
        layout = Layout(tuple(hosts), _free_port())
        self._others = [one.token for one in begun[1:] if one is not None]
        self._ring_others("go " + orjson.dumps([layout.hosts, layout.port]).decode())
        return layout

    def _ring_others(self, word: str) -> None:
        self._said.append(word)
        keep_trying(lambda: self._bells.ring(self._others, word))

    def _say_again(self) -> None:
        for word in self._said:
            self._bells.ring(self._others, word)

    def _end_all(self) -> None:
        """Have the processes of all ranks end; `_changed` is held."""
        if not self._is_ended:
            self._end()
            self._ring_others("end")

    def _not_met(self, missing: list[int]) -> Outcome:
        if self._must_end():
            return Outcome(succeeded=False, reason=Reason.CANCELLED, error="stopped from outside")
        shown = ", ".join(f"rank {rank} on `{self._grant.ranks[rank].worker}`" for rank in missing[:5])
        more = f" and {len(missing) - 5} others" if len(missing) > 5 else ""
        error = f"{shown}{more} did not come to the barrier within {self._timeout_s:g} s (worker.gang_timeout_s)"
        return Outcome(succeeded=False, reason=Reason.INFRASTRUCTURE, error=error)

    def conclude(self, outcome: Outcome, span: tuple[float, float]) -> Outcome:
        """Wait for all ranks, which end when one has failed; the first that failed by itself is the one that counts."""
        self._own = (outcome, span)
        if not self._others:  # they were never told to begin
            return outcome
        if not outcome.succeeded:
            with self._changed:
                self._end_all()
        if not self._await(lambda: len(self._records) == len(self._others)):
            return outcome  # it does not count any more
        self._has_all = True
        failed = [(span[1], 0, outcome.reason)] if not outcome.succeeded else []
        for rank, record in self._records.items():
            if record["status"] != "succeeded":
                failed.append((seconds_of(record["finished_at"]), rank, record["reason"]))
        by_itself = [one for one in failed if one[2] != Reason.CANCELLED]
        first = min(by_itself or failed, default=None)
        return outcome if first is None else self._failed_with(first[1], outcome)

    def _failed_with(self, rank: int, outcome: Outcome) -> Outcome:
        """Return the outcome of the whole when a rank has failed first."""
        where = f"rank {rank} on `{self._grant.ranks[rank].worker}`"
        if rank == 0:
            return replace(outcome, error=f"{where}: {outcome.error}")
        record = self._records[rank]
        return replace(
            outcome,
            succeeded=False,
            reason=Reason(record["reason"]),
            error=f"{where}: {record['error']}",
            exit_status=record["exit_status"],
            signal=record["signal"],
            result=None,
        )

    def add_to(self, record: dict[str, Any], inline: dict[str, Any]) -> None:
        """Add the ranks, and the files of the others, to the record of an attempt."""
        record["barrier_s"] = round(self.barrier_s, 6)
        if not self._has_all or self._own is None:
            return
        outcome, span = self._own
        own = {
            **record,
            "status": "succeeded" if outcome.succeeded else "failed",
            "reason": outcome.reason,
            "error": outcome.error,
            "exit_status": outcome.exit_status,
            "signal": outcome.signal,
            "finished_at": iso_time(span[1]),
        }
        record["ranks"] = [self._entry(rank, one) for rank, one in sorted({0: own, **self._records}.items())]
        for rank, other in sorted(self._records.items()):
            record["files"] |= {f"rank-{rank}/{name}": file for name, file in other["files"].items()}
        inline |= self._inline

    def _entry(self, rank: int, record: Mapping[str, Any]) -> dict[str, Any]:
        entry = {"rank": rank, "gpus": list(self._grant.ranks[rank].gpus)} | {name: record.get(name) for name in _KEPT}
        return {name: value for name, value in entry.items() if value not in (None, [])}
