"""Telling targets beside everything else: a thread for each, with retries, a bound, and a memory of what was told."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import orjson

from taskexec.domain.clock import iso_time
from taskexec.observability.notify.addresses import Target
from taskexec.observability.notify.delivery import DeliveryFailed, DeliveryPolicy, deliver
from taskexec.observability.notify.notices import Notice

__all__ = ["TOLD_FILE", "Memory", "Notifier"]

log = logging.getLogger("taskexec.notify")

TOLD_FILE = ".told.json"
"""What was told of a run, in its folder."""
_WAITING_MAX = 1000
_LANES_MAX = 32
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0

Deliver = Callable[[Target, Notice, DeliveryPolicy], None]


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

    def __init__(self, policy: DeliveryPolicy, *, attempts: int, deliver: Deliver = deliver) -> None:
        """Begin with nothing to tell.

        Args:
            policy: How targets are told.
            attempts: Attempts at telling one target of one thing, 1 or more.
            deliver: Tells one target once.
        """
        self._policy = policy
        self._attempts = attempts
        self._deliver = deliver
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
            why = self._try(target, notice)
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

    def _try(self, target: Target, notice: Notice) -> str | None:
        """Try until it is told; return why it was not."""
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, self._attempts + 1):
            try:
                self._deliver(target, notice, self._policy)
            except DeliveryFailed as error:
                if error.is_final or attempt == self._attempts:
                    return str(error)
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                return None
        return "never tried"

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
