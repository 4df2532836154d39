"""One run as everybody sees it who looks at it: folded once, followed once, each change written once."""

from __future__ import annotations

import gzip
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from itertools import groupby, islice
from typing import Any

import orjson

from taskexec.api.fan import Fan, Message
from taskexec.api.origins import HomeOrigin, Origin, ServerOrigin, order_of
from taskexec.api.rows import attempts_of, changes, graph, timeline_rows
from taskexec.api.sse import event
from taskexec.domain.events import LogEntry
from taskexec.domain.states import FINAL_TASK_STATUSES
from taskexec.errors import ConnectionLost, NotFound
from taskexec.observability.blame import blame
from taskexec.observability.estimate import Estimate, estimate_end
from taskexec.observability.timeline import RunTimeline
from taskexec.plan import collection_paused

__all__ = ["Joined", "LiveRun", "Packed"]

_FRESH_S = 0.05
"""A state so old is shown to whoever asks again."""
_ROWS_FRESH_S = 0.5
"""The same for the rows of all tasks, which take some milliseconds for every thousand."""
_REST = 10
"""So many times as long as it took to make them they are shown at least."""
_OUTLOOK_S = 1.0
"""So often it is worked out how long the run will still take."""
_INTERVAL_S = 0.1
_INTERVAL_A_READER_S = 0.0006
"""Messages come at most every tenth of a second; with very many readers less often, since each has to be sent one."""
_CHECK_S = 1.0
"""So often it is asked, while nothing happens, whether the server still has the run."""
_WAIT_S = 1.0
_PAUSE_S = 0.5
_GRACE_S = 5.0
"""So long a run is followed on after its last reader left: most come back."""
_GONE_S = 60.0
"""A run that its server does not know any more is waited for so long: somebody may take it up there."""
_MOST_CHARACTERS = 4 * 1024 * 1024
"""What of the log goes into one message at most: it holds the output of short tasks as well."""
_MOST_TOLD = 65_535


class Packed:
    """An answer that is kept: its bytes, and compressed."""

    __slots__ = ("_gzipped", "data", "tag")

    def __init__(self, data: bytes, tag: str) -> None:
        """Keep an answer with the tag of its version."""
        self.data = data
        self.tag = tag
        self._gzipped: bytes | None = None

    @property
    def gzipped(self) -> bytes:
        """The bytes compressed, at the first use."""
        if self._gzipped is None:
            self._gzipped = gzip.compress(self.data, compresslevel=4, mtime=0)
        return self._gzipped


class Joined:
    """What a new reader gets first, and from where on it goes on with what everybody gets."""

    __slots__ = ("data", "has_ended", "place")

    def __init__(self, data: bytes, place: int, *, has_ended: bool) -> None:
        """Begin with some bytes and a place among the messages."""
        self.data = data
        self.place = place
        self.has_ended = has_ended


class LiveRun:
    """A run that somebody looks at."""

    def __init__(self, run_id: str, origin: Origin) -> None:
        """Read a run's plan; what happened is taken in by `refresh`.

        Raises:
            NotFound, ConnectionLost, OSError, ValueError: It cannot be read.
        """
        self.run_id = run_id
        self.origin = origin
        self.stamp = origin.stamp
        self.lock = threading.RLock()
        """Held while the timeline is read or changed."""
        self.fan = Fan()
        self.gone = False
        """Whether the server has come to know it no more; it is not gone on with."""
        self.looked = time.monotonic()
        """When it was last made sure that this is the right origin."""
        self._origin_us: int | None = None
        self._told: array[int] = array("H")
        self._drawing = threading.Lock()
        self._fresh = self._checked = 0.0
        self._outlook: tuple[float, Estimate | None] = (float("-inf"), None)
        self._answers: dict[str, tuple[float, Packed]] = {}
        self._graph: Packed | None = None
        self._caught_up = ("", "", b"")
        self._counting = threading.Lock()
        self._readers = 0
        self._left_at = 0.0
        self._follower: threading.Thread | None = None
        self._stop = threading.Event()
        self.timeline: RunTimeline = self._begin()

    def _begin(self) -> RunTimeline:
        with collection_paused():
            timeline = self.timeline = self.origin.begin()
        self._told = array("H", bytes(2 * len(timeline.spans)))
        self._note_origin(timeline)
        for index, span in enumerate(timeline.spans):
            if span.attempts:
                self._settle(index)
        return timeline

    def _note_origin(self, timeline: RunTimeline) -> None:
        if self._origin_us is None and timeline.view.started_us is not None:
            queued = (span.attempts[0].queued_us for span in timeline.spans if span.attempts)
            first = min([timeline.view.started_us, *(at_us for at_us in queued if at_us is not None)])
            self._origin_us = first // 1000 * 1000  # of its first life

    @property
    def origin_us(self) -> int:
        """The instant that times in rows are relative to, in microseconds since the epoch: when it was started."""
        return self._origin_us if self._origin_us is not None else self.timeline.view.last_us // 1000 * 1000

    @property
    def size(self) -> int:
        """How many tasks it has."""
        return len(self.timeline.spans)

    @property
    def is_at_home(self) -> bool:
        """Whether it is read from its folder."""
        return isinstance(self.origin, HomeOrigin)

    @property
    def is_unread(self) -> bool:
        """Whether what happened has not been taken in yet: it is being read, or nobody has asked for it."""
        return not self._fresh

    @property
    def is_watched(self) -> bool:
        """Whether it has readers, or had some a moment ago."""
        return self._follower is not None

    # the state

    def refresh(self) -> RunTimeline:
        """Take in what has happened since, unless that is done elsewhere; return the timeline.

        Raises:
            ConnectionLost: The server did not answer.
        """
        if self._is_old():
            with self.lock:
                if self._is_old():  # nobody else was faster
                    began = time.monotonic()
                    if not self._take_all(began) and began - self._checked > _CHECK_S:
                        self._check_life()
        return self.timeline

    def _is_old(self) -> bool:
        return self._follower is None and time.monotonic() - self._fresh > _FRESH_S

    def _take_all(self, began: float) -> int:
        """Take in all that there is; return how many entries that was."""
        count = 0
        with collection_paused():
            while entries := self.origin.read(self.timeline.last_id):
                for index in self._take(entries):
                    self._settle(index)
                count += len(entries)
        self._fresh = began
        return count

    def _check_life(self) -> None:
        """Go on with the log of a run that was taken up anew, whatever its ids."""
        origin, self._checked = self.origin, time.monotonic()
        if isinstance(origin, ServerOrigin) and origin.has_begun_anew():
            self.timeline.last_id = "0"
            self._answers.clear()

    def _take(self, entries: Sequence[LogEntry]) -> dict[int, None]:
        """Take in entries that were not taken in before; return the tasks that changed."""
        after = order_of(self.timeline.last_id)
        known = next((at for at, entry in enumerate(entries) if order_of(entry.id) > after), len(entries))
        changed: dict[int, None] = {}
        for is_first, group in groupby(islice(entries, known, None), key=lambda entry: entry.lines.startswith("U")):
            part = list(group)
            found = self._begin_life(part) if is_first else self.timeline.apply(part)
            for index in found:
                changed.pop(index, None)
            changed |= found
        self._note_origin(self.timeline)
        return changed

    def _begin_life(self, entries: Sequence[LogEntry]) -> dict[int, None]:
        """Take in entries with which the run begins, on this server; return the tasks that change or may have."""
        spans = self.timeline.spans
        changed = {
            at: None for at, span in enumerate(spans) if span.status not in FINAL_TASK_STATUSES and span.attempts
        }
        if isinstance(self.origin, ServerOrigin):
            self.origin.life = entries[0].id
        return changed | self.timeline.apply(entries)

    def outlook(self) -> dict[str, Any]:
        """Return the rate, what is left, and when the run should end."""
        timeline, now = self.timeline, time.monotonic()
        if now - self._outlook[0] >= _OUTLOOK_S:
            estimate = None if self.is_at_home else estimate_end(timeline, self.origin.now_us())
            self._outlook = now, estimate
        estimate = None if timeline.view.is_final else self._outlook[1]
        now_us = None if self.is_at_home else self.origin.now_us()  # nobody knows whether one at home still goes on
        left_s = None if timeline.view.is_final else timeline.view.left_s(now_us)
        if estimate is not None and now_us is not None:
            left_s = estimate.left_s(now_us)[0]
        return {
            "rate_per_s": round(timeline.view.rate(now_us), 3),
            "left_s": None if left_s is None else round(left_s, 3),
            "eta": None if estimate is None else estimate.to_json(),
        }

    def rows(self) -> Packed:
        """Return the body of `GET …/timeline`, at most half a second old.

        Raises:
            ConnectionLost: The server did not answer.
        """
        self.refresh()
        with self.lock:
            return self._kept("rows", self._make_rows)

    def _make_rows(self) -> bytes:
        timeline, now_us = self.timeline, self.origin.now_us()
        return timeline_rows(self.run_id, timeline, timeline.last_id, self.origin_us, now_us, self.outlook())

    def _kept(self, name: str, make: Callable[[], bytes]) -> Packed:
        """Return an answer that is kept while nothing happens, and else the longer the more it costs to make."""
        tag, now = self._tag(self.timeline.last_id), time.monotonic()
        kept = self._answers.get(name)
        if kept is not None and (kept[1].tag == tag or now < kept[0]):
            return kept[1]
        packed = Packed(make(), tag)
        made = time.monotonic()
        self._answers[name] = made + max(_ROWS_FRESH_S, (made - now) * _REST), packed
        return packed

    def _tag(self, last_id: str) -> str:
        return f'W/"{last_id}"'

    def graph(self) -> Packed:
        """Return the body of `GET …/graph`, which never changes; it waits for nothing that happens."""
        with self._drawing:
            if self._graph is None:
                digest = self.timeline.plan.get("digest") or self.run_id
                with collection_paused():
                    self._graph = Packed(graph(self.run_id, self.timeline), f'"{digest}"')
            return self._graph

    def blamed(self) -> Packed:
        """Return the body of `GET …/blame`, of the state that `refresh` has found."""
        with self.lock:
            return self._kept("blame", lambda: orjson.dumps({"run_id": self.run_id, **blame(self.timeline).to_json()}))

    # readers

    def join(self, after: str) -> Joined:
        """Return what a reader has missed who knows the run up to an entry, and where it goes on; it counts from now.

        Whoever joins has to `leave`, also when this raises.

        Raises:
            ConnectionLost: The server did not answer.
        """
        with self._counting:
            self._readers += 1
        with self.lock:
            is_ahead = order_of(after) > order_of(self.timeline.last_id)
            if self._follower is None or is_ahead:  # else hardly anything is missing, and many may join at once
                while entries := self.origin.read(self.timeline.last_id):
                    self._take_and_tell(entries)
                self._start_following()
            place = self.fan.place_after(after)
            if place is not None and after != self.timeline.last_id:
                return Joined(b"", place, has_ended=False)
            return self._catch_up(after)

    def _has_ended_at(self, after: str) -> bool:
        """Return whether a reader that has missed something is to be let go: the run has ended."""
        view = self.timeline.view
        return view.is_final and after != self.timeline.last_id

    def _catch_up(self, after: str) -> Joined:
        last = self.timeline.last_id
        if order_of(after) > order_of(last):  # of a former life, on a server whose clock was ahead
            after = "0"
        data = b""
        if after != last:
            if self._caught_up[:2] != (after, last):  # many come back with the same one
                indexes, rows = self._missed(after, last)
                self._caught_up = after, last, self._message(indexes, rows, last) + self._end_event()
            data = self._caught_up[2]
        else:
            data = self._end_event()
        return Joined(data, self.fan.end, has_ended=self._has_ended_at(after))

    def _missed(self, after: str, last: str) -> tuple[Sequence[int], Callable[[int], Sequence[Any]]]:
        """Return the tasks that changed between two entries, and what gives the rows of their attempts."""
        timeline, origin_us = self.timeline, self.origin_us
        if order_of(after) == (0, 0):
            spans = timeline.spans
            begun = [at for at, span in enumerate(spans) if span.attempts or span.changed_us or span.ready_us]
            return begun, lambda index: attempts_of(timeline, index, origin_us)
        touched: dict[int, dict[int, int]] = {}
        for _, transition in self.origin.happened(after, last):
            if transition.index >= 0:
                touched.setdefault(transition.index, {}).setdefault(transition.attempt, transition.at_us)
                if timeline.spans[transition.index].status in FINAL_TASK_STATUSES:
                    for other in timeline.successors[transition.index]:
                        touched.setdefault(other, {})
        return list(touched), lambda index: attempts_of(timeline, index, origin_us, touched[index])

    def leave(self) -> None:
        """Count a reader less; the run is followed on for a moment."""
        with self._counting:
            self._readers -= 1
            self._left_at = time.monotonic()

    def _start_following(self) -> None:
        if self._follower is None and not self.is_at_home:
            self._follower = threading.Thread(target=self._follow, name=f"follow {self.run_id}", daemon=True)
            self._follower.start()

    def _follow(self) -> None:
        missed_at = 0.0
        try:
            while not self._is_to_stop():
                try:
                    pause_s = self._go_on()
                    missed_at = 0.0
                except ConnectionLost:
                    pause_s = _PAUSE_S
                except NotFound:
                    pause_s, missed_at = _PAUSE_S, missed_at or time.monotonic()
                    if time.monotonic() - missed_at > _GONE_S:
                        self._give_up("the server knows this run no more")
                        return
                self._stop.wait(pause_s)
        except Exception:
            self._give_up("the server made a mistake")
            raise

    def _go_on(self) -> float:
        """Wait for news and tell the readers; return how long to let them rest.

        Raises:
            NotFound: The server knows the run no more.
            ConnectionLost: It did not answer.
        """
        entries = self.origin.read(self.timeline.last_id, wait_s=_WAIT_S)
        if not entries:
            with self.lock:
                self._check_life()
            return 0.0
        entries += self._read_more(entries)
        with self.lock:
            self._take_and_tell(entries)
        return max(_INTERVAL_S, self._readers * _INTERVAL_A_READER_S)

    def _read_more(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Return what follows on some entries already, as much of it as one message is for."""
        found: list[LogEntry] = []
        last, characters = entries[-1].id, 0
        while characters < _MOST_CHARACTERS:
            try:
                more = self.origin.read(last)
            except ConnectionLost:
                break  # what is known is told first
            if not more:
                break
            found += more
            last = more[-1].id
            characters += sum(len(entry.lines) for entry in more)
        return found

    def _is_to_stop(self) -> bool:
        with self.lock:
            with self._counting:
                is_left = self._readers <= 0 and time.monotonic() - self._left_at > _GRACE_S
            if not is_left and not self._stop.is_set():
                return False
            self._follower = None
            self.fan.clear()
            self._caught_up = "", "", b""
            return True

    def _give_up(self, reason: str) -> None:
        with self.lock:
            self.gone = True
            self._follower = None
            last = self.timeline.last_id
            self.fan.publish(Message(last, last, event("reset", {"reason": reason}), is_last=True))

    def _take_and_tell(self, entries: Sequence[LogEntry]) -> None:
        """Take in entries, and tell the readers what has changed."""
        began, after = time.monotonic(), self.timeline.last_id
        ended_us = self.timeline.view.ended_us
        changed = self._take(entries)
        self._fresh = began
        last = self.timeline.last_id
        if last != after:
            data = self._message(list(changed), self._untold, last)
            has_ended = self.timeline.view.ended_us not in {None, ended_us}  # it may have been reopened in between
            if has_ended:
                data += self._end_event()
            self.fan.publish(Message(after, last, data, is_last=has_ended))

    def _untold(self, index: int) -> Sequence[Any]:
        """Return the rows of the attempts of a task that were not told of, or had not ended then."""
        rows = attempts_of(self.timeline, index, self.origin_us)[self._told[index] :]
        self._settle(index)
        return rows

    def _settle(self, index: int) -> None:
        """Note that all that has ended of a task is known to whoever gets the next message."""
        attempts, told = self.timeline.spans[index].attempts, self._told[index]
        while told < len(attempts) and attempts[told].finished_us is not None and told < _MOST_TOLD:
            told += 1
        self._told[index] = told

    def _message(self, indexes: Sequence[int], rows: Callable[[int], Sequence[Any]], last: str) -> bytes:
        return event("changes", changes(self.timeline, indexes, rows, self.origin_us, self.outlook()), id_=last)

    def _end_event(self) -> bytes:
        view = self.timeline.view
        return event("end", {"status": str(view.status)}) if view.is_final else b""

    def close(self) -> None:
        """Stop following; readers are told that the server ends."""
        self._stop.set()
        last = self.timeline.last_id
        self.fan.publish(Message(last, last, event("reset", {"reason": "the server ends"}), is_last=True))
