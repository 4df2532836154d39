"""Telling targets beside everything else: a thread for each, with retries, a bound, and a memory of what was told."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Protocol

import orjson

from taskexec.domain.claims import Claim
from taskexec.domain.clock import iso_time
from taskexec.errors import ConnectionLost
from taskexec.observability.notify.addresses import Target
from taskexec.observability.notify.delivery import DeliveryFailed, DeliveryPolicy, deliver
from taskexec.observability.notify.notices import Notice

__all__ = ["TOLD_FILE", "Claims", "Memory", "Notifier"]

log = logging.getLogger("taskexec.notify")

TOLD_FILE = ".told.json"
"""What was told of a run, in its folder."""
_WAITING_MAX = 1000
_LANES_MAX = 32
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0
_MARGIN_S = 5.0
"""A claim lasts so much longer than an attempt and the pause after it may take."""
_LOOK_S = 0.5
"""So often it is looked whether somebody else has told what they have claimed."""
_NOTED_TIMES = 5
"""So often it is tried, in steps of `_LOOK_S`, to note what was told."""

Deliver = Callable[[Target, Notice, DeliveryPolicy], None]


class Claims(Protocol):
    """Who tells what, known to all who bring the runs of a cluster home. Methods may raise `ConnectionLost`."""

    def claim(self, key: str, lease_s: float) -> Claim:
        """Return whose it is to tell something; ours lapses `lease_s` seconds after the last call."""

    def told(self, key: str) -> None:
        """Note that something was told."""


class Memory:
    """What was told of one run, and whom; kept in its folder, so that the next who brings it home knows."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / TOLD_FILE
        self._lock = threading.Lock()
        try:
            told = orjson.loads(self._path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            told = {}
        self._told: dict[str, str] = told if isinstance(told, dict) else {}

    def knows(self, key: str) -> bool:
        """Return whether something was told."""
        return key in self._told

    def add(self, key: str) -> None:
        """Remember that something was told; a folder that cannot be written forgets it with this process."""
        with self._lock:
            self._told[key] = iso_time(time.time())
            temporary = self._path.with_name(f"{TOLD_FILE}.tmp")
            try:
                temporary.write_bytes(orjson.dumps(self._told, option=orjson.OPT_INDENT_2))
                temporary.replace(self._path)
            except OSError as error:
                log.warning("what was told cannot be remembered", extra={"error": str(error)})


class Notifier:
    """Tells targets of notices; `tell` never waits."""

    def __init__(
        self, policy: DeliveryPolicy, *, attempts: int, deliver: Deliver = deliver, claims: Claims | None = None
    ) -> None:
        """Begin with nothing to tell.

        Args:
            policy: How targets are told.
            attempts: Attempts at telling one target of one thing, 1 or more.
            deliver: Tells one target once.
            claims: What others know who may tell the same; None where nobody else does.
        """
        self._policy = policy
        self._attempts = attempts
        self._deliver = deliver
        self._claims = claims
        self._lanes: dict[int, _Lane] = {}
        self._changed = threading.Condition()
        self._open = 0
        self.failed = 0
        """Notices that did not reach their target."""

    def tell(self, notice: Notice, targets: Iterable[Target], memory: Memory | None = None) -> None:
        """Tell each target that was not told yet, as `memory` has it, in its own time."""
        for target in targets:
            key = f"{notice.key} {target.digest}"
            if memory is not None and memory.knows(key):
                continue
            with self._changed:
                if self._open >= _WAITING_MAX:
                    self.failed += 1
                    log.warning("too much is to be told", extra={"run": notice.run_id, "what": notice.key})
                    return
                self._open += 1
            self._lane_of(target).put(partial(self._tell, target, notice, key, memory))

    def _lane_of(self, target: Target) -> _Lane:
        number = int(target.digest, 16) % _LANES_MAX
        if number not in self._lanes:
            self._lanes[number] = _Lane(f"tek-notify-{number}")
        return self._lanes[number]

    def _tell(self, target: Target, notice: Notice, key: str, memory: Memory | None) -> None:
        try:
            why = self._try(target, notice, f"{notice.run_id} {key}")
            if why is None and memory is not None:
                memory.add(key)
        except Exception as error:  # a way of telling with a fault of its own must not end all others
            why = f"{type(error).__name__}: {error}"
        with self._changed:
            self._open -= 1
            self.failed += why is not None
            self._changed.notify_all()
        if why is not None:
            fields = {"run": notice.run_id, "what": notice.key, "target": target.shown, "error": why}
            log.warning("somebody could not be told", extra=fields)

    def _try(self, target: Target, notice: Notice, claim: str) -> str | None:
        """Try until it is told, here or by somebody else; return why it was not."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, self._attempts + 1):
            if not self._is_ours(claim, self._policy.timeout_s + pause_s + _MARGIN_S):
                return None
            try:
                self._deliver(target, notice, self._policy)
            except DeliveryFailed as error:
                if error.is_final or attempt == self._attempts:
                    return str(error)
                time.sleep(pause_s)  # longer from try to try
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._note(claim)
                return None
        return "never tried"

    def _is_ours(self, claim: str, lease_s: float) -> bool:
        """Return whether it is to be told here; while somebody else is at it, wait until they have told it or died."""
        try:
            while self._claims is not None:
                standing = self._claims.claim(claim, lease_s)
                if standing is not Claim.OTHERS:
                    return standing is Claim.OURS
                time.sleep(_LOOK_S)  # until the other one has told it, or its claim lapses
        except ConnectionLost as error:  # it may be told twice, which is better than never
            log.warning("told without a claim", extra={"what": claim, "error": str(error)})
        return True

    def _note(self, claim: str) -> None:
        """Have everybody know that it was told."""
        if self._claims is None:
            return
        for _ in range(_NOTED_TIMES):
            try:
                self._claims.told(claim)
                return
            except ConnectionLost:
                time.sleep(_LOOK_S)  # the server is asked again then

    def wait(self, wait_s: float) -> int:
        """Wait until all is told, for so many seconds at most; return how much is not."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, wait_s)
            return self._open


class _Lane:
    """A thread that makes calls one after the other; it ends with its process."""

    def __init__(self, name: str) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._loop, name=name, daemon=True).start()

    def put(self, call: Callable[[], None]) -> None:
        with self._changed:
            self._calls.append(call)
            self._changed.notify()

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._calls))
                call = self._calls.popleft()
            call()
