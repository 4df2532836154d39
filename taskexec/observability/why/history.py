"""What happened to a task, from the ledger alone: what made it ready, what it waited for, how its attempts ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from taskexec.observability.why.cause import Cause
from taskexec.observability.why.story import DONE, Story, instant
from taskexec.observability.why.words import counted, joined, span

__all__ = ["attempts", "became_ready", "ending"]

_DEPTH = 6


def became_ready(story: Story, index: int) -> Cause | None:
    """Return when a task had nothing more to wait for, and through what."""
    dependencies = story.dependencies(index)
    times = [(at, one) for one in dependencies if (at := story.done_at(one)) is not None]
    if len(times) + sum(story.status(one) == "satisfied" for one in dependencies) < len(dependencies):
        return None
    if not times:
        if story.started_at is None:
            return None
        why = "everything it depends on was done before" if dependencies else "it depends on nothing"
        return Cause("ready", f"it was ready when the run began: {why}")
    at, last = max(times)
    others = f", the last of its {len(dependencies)} dependencies" if len(dependencies) > 1 else ""
    end = story.last(last, "succeeded")
    facts = {"ready_at": end["at"] if end else None, "because_of": story.ids[last]}
    below = []
    if len(times) > 1:
        earlier, one = sorted(times)[-2]
        below.append(Cause("before", f"the one before, {story.name(one)}, had succeeded {span(at - earlier)} earlier"))
    return Cause(
        "ready", f"it was ready {_clock(story, at)}, when {story.name(last)} succeeded{others}", tuple(below), facts
    )


def _clock(story: Story, at: float) -> str:
    """Return an instant as the time since the run began."""
    return "once" if story.started_at is None else f"{span(at - story.started_at)} after the start of the run"


def attempts(story: Story, index: int, names: Mapping[str, str]) -> Iterator[Cause]:
    """Yield what happened to each attempt: how long it waited and for what, where it ran, how it ended.

    Args:
        story: The run.
        index: The task.
        names: Tasks of other runs as people read them, by `run:index`.
    """
    queued: Mapping[str, Any] | None = None
    running: Mapping[str, Any] | None = None
    for entry in story.entries[index]:
        event, at = entry["event"], entry["at"]
        if event == "queued":
            queued = entry
            if "on" in entry:
                yield _placed(story, entry, names)
        elif event == "running":
            waited = f", {span(instant(at) - instant(queued['at']))} after it was queued" if queued else ""
            text = f"attempt {entry['attempt']} started on `{entry.get('worker', '')}`{waited}"
            yield Cause("started", text, facts={"at": at, "attempt": entry["attempt"]})
            running = entry
        elif event == "delayed":
            wait = f" for {span(instant(entry['due_at']) - instant(at))}" if "due_at" in entry else ""
            why = "" if "due_at" in entry else ", since another task was on trial"
            yield Cause("delayed", f"the next attempt was held back{wait}{why}", facts={"at": at})
        elif event in {"attempt_failed", "attempt_lost", "failed", "succeeded"}:
            ran = f" after {span(instant(at) - instant(running['at']))}" if running else ""
            yield Cause("ended", _ended(entry, ran), facts=_facts(entry))
            running = None
        elif event == "given_back":
            yield Cause("given_back", "its worker gave it back without having started it", facts={"at": at})
        elif event == "retried":
            by = entry.get("by", {})
            yield Cause(
                "retried", f"{by.get('user') or 'somebody'} had it run again: {by.get('why', '')}", facts={"at": at}
            )


def _placed(story: Story, entry: Mapping[str, Any], names: Mapping[str, str]) -> Cause:
    waited_s = entry["waited_us"] / 1e6
    where = joined(f"`{worker}`" for worker in dict.fromkeys(entry["on"]))
    after = entry.get("after", "")
    facts = {"on": entry["on"], "waited_s": waited_s, "after": after}
    text = f"it was placed on {where} after {span(waited_s)}"
    if after:
        text += f", when {_task(story, after, names)} had ended and made room"
    elif waited_s > 0.05:
        text += ", when something else had changed (a worker joined, or was given back what it held)"
    else:
        text += ": there was room"
    return Cause("placed", text, facts=facts)


def _task(story: Story, owner: str, names: Mapping[str, str]) -> str:
    run_id, _, index = owner.rpartition(":")
    if run_id == story.run_id and index.isdigit() and int(index) < len(story.ids):
        return story.name(int(index))
    return names.get(owner) or f"task {index} of run {run_id}"


def _ended(entry: Mapping[str, Any], ran: str) -> str:
    number = f"attempt {entry.get('attempt', '')}"
    if entry["event"] == "succeeded":
        return f"{number} succeeded{ran}"
    why = entry.get("reason", "")
    more = next((f" {entry[name]}" for name in ("exit_status", "signal") if entry.get(name) is not None), "")
    error = f": {entry['error']}" if entry.get("error") else ""
    how = "was lost" if entry["event"] == "attempt_lost" else "failed"
    return f"{number} {how}{ran}" + (f" ({why}{more})" if why else "") + error


def _facts(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = ("at", "attempt", "reason", "exit_status", "signal", "error")
    return {name: entry[name] for name in names if entry.get(name) is not None}


def ending(story: Story, index: int, depth: int = 0) -> Cause:
    """Return how a task ended, and what that comes from."""
    status = story.status(index)
    name = story.name(index)
    if status == "skipped":
        return _skipped(story, index, depth)
    if status == "cancelled":
        return Cause("cancelled", f"{name} was cancelled: {_why_cancelled(story, index)}")
    if status == "satisfied":
        origin = (story.last(index, "satisfied") or {}).get("taken_from")
        taken = f"; it was taken over from run {origin.get('run', '')}" if isinstance(origin, Mapping) else ""
        return Cause("satisfied", f"{name} was done before the run{taken}")
    entry = story.last(index, "succeeded", "failed")
    if entry is None:
        return Cause(status, f"{name} is {status}")
    tries = counted(int(entry.get("attempt", 1)), "attempt")
    if status in DONE:
        return Cause(status, f"{name} succeeded with {tries}", facts={"at": entry["at"]})
    text = f"{name} failed after {tries}: {_ended(entry, '')}"
    return Cause(status, text, facts=_facts(entry))


def _skipped(story: Story, index: int, depth: int) -> Cause:
    entry = story.last(index, "skipped")
    cause = entry.get("because_of") if entry else None
    if cause is None:
        return Cause("skipped", f"{story.name(index)} was skipped")
    text = f"{story.name(index)} was skipped, since {story.name(story.index_of[cause])} did not succeed"
    way = [story.name(one) for one in story.dependencies(index) if story.status(one) in {"skipped", "failed"}]
    via = (
        [Cause("via", f"it depends on {joined(way)}")] if way and cause not in story.tasks[index]["depends_on"] else []
    )
    below = (ending(story, story.index_of[cause], depth + 1),) if depth < _DEPTH else ()
    return Cause("skipped", text, (*via, *below), {"because_of": cause})


def _why_cancelled(story: Story, index: int) -> str:
    entry = story.last(index, "cancelled")
    if any(one["event"] == "time_is_up" for one in story.of_run):
        return "the time of the run was up"
    together = [
        other
        for other, entries in story.entries.items()
        if any(one["event"] == "failed" and entry is not None and one["entry"] == entry["entry"] for one in entries)
    ]
    if together:
        return f"{story.name(together[0])} failed, and the run stops at the first failure (fail-fast)"
    failed = [other for other in story.entries if story.status(other) == "failed"]
    if failed and entry is not None and entry.get("worker"):
        return f"the run was being stopped after {story.name(failed[0])} had failed, or by a person"
    return "the run was stopped"
