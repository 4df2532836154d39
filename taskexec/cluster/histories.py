"""The timeline of a run, read from its server or, when it has ended and was brought home, from its folder."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import orjson

from taskexec.cluster.places import RunPlace
from taskexec.completion.former import transition_of
from taskexec.completion.ledger import SIGNED
from taskexec.completion.names import RESULT
from taskexec.completion.outline import attempt_folder
from taskexec.domain.events import Transition
from taskexec.observability.timeline import AttemptSpan, RunTimeline
from taskexec.store.runs import RedisRunStore

__all__ = ["live_timeline", "read_timeline", "timeline_at_home"]


def read_timeline(place: RunPlace, *, with_usage: bool = False) -> RunTimeline:
    """Return the timeline of a run as it stands; its folder is preferred once the run has ended.

    Args:
        place: The run.
        with_usage: Whether what attempts used is wanted: at home that stands in one file an attempt.

    Raises:
        ConnectionLost: The server did not answer.
        OSError, ValueError: Its folder cannot be read.
    """
    summary = place.home_summary()
    if place.cluster is None or (summary is not None and summary["ended"] is not None):
        return timeline_at_home(place.folder, with_usage=with_usage)
    return live_timeline(place.cluster.runs, place.run_id)


def live_timeline(store: RedisRunStore, run_id: str) -> RunTimeline:
    """Return the timeline of a run from its server; `apply` what `read_log` gives after its `last_id` to go on.

    Raises:
        NotFound: No such run.
        ConnectionLost: The server did not answer.
    """
    timeline = RunTimeline(orjson.loads(zlib.decompress(store.documents(run_id)[0])))
    while entries := store.read_log(run_id, timeline.last_id):
        timeline.apply(entries)
    return timeline


def timeline_at_home(folder: Path, *, with_usage: bool = False) -> RunTimeline:
    """Return the timeline of a run from its folder at home.

    Raises:
        OSError, ValueError: It cannot be read.
    """
    timeline = RunTimeline(orjson.loads((folder / "plan.json").read_bytes()))
    for transition in _transitions(folder / "ledger.jsonl", timeline):
        timeline.take(transition)
    if with_usage:
        for task_id, span in zip(timeline.ids, timeline.spans, strict=True):
            for attempt in span.attempts:
                _add_usage(folder, task_id, attempt)
    return timeline


def _transitions(ledger: Path, timeline: RunTimeline) -> Iterator[Transition]:
    with ledger.open("rb") as file:
        for line in file:
            content = orjson.loads(line)
            if content["event"] != SIGNED:
                yield transition_of(content, timeline.index_of)


def _add_usage(folder: Path, task_id: str, attempt: AttemptSpan) -> None:
    if attempt.outcome in {"queued", "running", "given_back"}:
        return
    try:
        record = orjson.loads((attempt_folder(folder, task_id, attempt.number) / RESULT).read_bytes())
    except (OSError, ValueError):
        return
    attempt.usage = record.get("usage") or {}
