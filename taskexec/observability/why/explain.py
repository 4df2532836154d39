"""Why a task stands where it stands: the whole answer, from the run's story and how things stand now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from taskexec.domain.fit import READY, SLOTS, WHOLE, route_trait
from taskexec.observability.why.cause import Cause
from taskexec.observability.why.facts import Cluster, RunNow, TaskNow
from taskexec.observability.why.history import attempts, became_ready, ending
from taskexec.observability.why.placing import explain_placing
from taskexec.observability.why.story import DONE, ENDINGS, Story, instant
from taskexec.observability.why.words import amount, counted, joined, left_text, size, span

__all__ = ["Present", "explain"]

_DEPTH = 6
"""So many dependencies after each other are explained."""


class Present(Protocol):
    """How things stand on the server now; what is asked for is read when it is asked for."""

    @property
    def run(self) -> RunNow:
        """Return where the run stands."""

    @property
    def cluster(self) -> Cluster:
        """Return the workers and what waits for them."""

    def task(self, index: int) -> TaskNow:
        """Return where a task stands."""


def explain(story: Story, index: int, present: Present | None, *, names: Mapping[str, str] | None = None) -> Cause:
    """Return why a task stands where it stands.

    Args:
        story: The run's plan and ledger.
        index: The task.
        present: How things stand now; None when the server does not know the run: the ledger alone is told.
        names: Tasks of other runs as people read them, by `run:index`.
    """
    return _explain(story, index, present, names or {}, 0)


def _explain(story: Story, index: int, present: Present | None, names: Mapping[str, str], depth: int) -> Cause:
    status = story.status(index)
    if status in ENDINGS:
        cause = ending(story, index)
        if status in {"skipped", "satisfied"} or depth:
            return cause
        return Cause(cause.kind, cause.text, (*_history(story, index, names), *cause.causes), cause.facts)
    if present is None:
        return Cause(
            status, f"{story.name(index)} is {status}, as far as was brought home", _history(story, index, names)
        )
    now = present.task(index)
    if now.letter == "R":
        return _running(story, index, present, now, names)
    if not now.letter:
        return _waiting(story, index, present, names, depth)
    before = () if depth else _history(story, index, names)
    if now.want is not None:
        placing = explain_placing(present.cluster, now.want, memory_ratio=now.memory_ratio)
        text = f"{story.name(index)} has not started: {placing.text}"
        return Cause("wanting", text, (*_of_the_run(present), *placing.causes, *before), placing.facts)
    how, causes = _held_or_queued(story, index, present, now)
    return Cause(how, f"{story.name(index)} has not started: {_HOW[how]}", (*_of_the_run(present), *causes, *before))


_HOW = {
    "delayed": "it is held back until its next attempt is due",
    "trial": "another task is on trial",
    "backlog": "its run has enough tasks in the queue",
    "placed": "it has a place on a worker, which has not begun it yet",
    "queued": "it stands in a queue",
    "held": "it is held",
}


def _history(story: Story, index: int, names: Mapping[str, str]) -> tuple[Cause, ...]:
    ready = became_ready(story, index)
    return (*([ready] if ready else []), *attempts(story, index, names))


def _of_the_run(present: Present) -> Iterator[Cause]:
    """Yield what holds for the whole run, where that is not its normal course."""
    run, now_us = present.run, present.cluster.now_us
    if run.is_stopping:
        yield Cause("run", "the run is being stopped: nothing new is started")
    elif run.status not in {"running", "succeeded", "failed"}:
        yield Cause("run", f"the run is {run.status}")
    if run.deadline_us is not None:
        left_s = (run.deadline_us - now_us) / 1e6
        text = f"the time of the run is up in {left_text(left_s)}" if left_s > 0 else "the time of the run is up"
        yield Cause("deadline", text)


def _running(story: Story, index: int, present: Present, now: TaskNow, names: Mapping[str, str]) -> Cause:
    entry = story.last(index, "running")
    at = present.cluster.now_us / 1e6
    since_s = at - instant(entry["at"]) if entry else 0.0
    worker = entry.get("worker", "") if entry else ""
    causes = []
    if now.grant is not None:
        grant = now.grant
        gpus = len(grant.ranks[0].gpus) if grant.ranks else 0
        share = f" ({amount(grant.gpu_share)} of it)" if gpus and grant.gpu_share < WHOLE else ""
        parts = [f"{amount(grant.cpus)} cores"]
        parts += [f"{size(grant.memory_mib)} of memory"] if grant.memory_mib else []
        parts += [counted(gpus, "GPU") + share] if gpus else []
        workers = dict.fromkeys(f"`{rank.worker}`" for rank in grant.ranks)
        each = f" for each of {len(grant.ranks)} ranks, on {joined(workers)}" if len(grant.ranks) > 1 else ""
        causes.append(Cause("grant", f"it was given {joined(parts, 9)}{each}"))
    duration = story.duration_s(index)
    if duration is None:
        causes.append(
            Cause("end", "how long it takes is not known: its plan does not say, and nothing like it has ended")
        )
    elif duration > since_s:
        causes.append(
            Cause("end", f"it should end in {left_text(duration - since_s)}", facts={"left_s": duration - since_s})
        )
    else:
        causes.append(Cause("end", f"it takes longer than expected, which was {span(duration)}"))
    text = f"{story.name(index)} is running on `{worker}` for {span(since_s)} (attempt {now.attempt})"
    return Cause("running", text, (*_of_the_run(present), *causes, *_history(story, index, names)))


def _waiting(story: Story, index: int, present: Present, names: Mapping[str, str], depth: int) -> Cause:
    """Explain a task by the dependency that holds it up the longest."""
    at = present.cluster.now_us / 1e6
    dependencies = story.dependencies(index)
    missing = [one for one in dependencies if story.status(one) not in DONE]
    name = story.name(index)
    if not missing:
        return Cause("waiting", f"{name} has nothing to wait for any more: it is queued in the next moment")
    expected = {one: story.left_s(one, at) for one in missing}
    slowest = max(missing, key=lambda one: (expected[one][0], not expected[one][1]))
    said = joined(story.name(one) for one in missing)
    of = f" ({len(missing)} of {len(dependencies)})" if len(dependencies) > 1 else ""
    facts = {"on": [story.ids[one] for one in missing]}
    causes: list[Cause] = list(_of_the_run(present)) if depth == 0 else []
    if len(missing) > 1:
        causes.append(
            Cause("slowest", f"{story.name(slowest)} holds it up the longest", facts={"task": story.ids[slowest]})
        )
    seconds, is_known = expected[slowest]
    if seconds > 0:
        least = "" if is_known else "at least "
        causes.append(
            Cause(
                "left",
                f"{least}{left_text(seconds)} until then, if nothing waits for workers",
                facts={"left_s": seconds},
            )
        )
    if depth < _DEPTH:
        causes.append(_explain(story, slowest, present, names, depth + 1))
    else:
        causes.append(Cause("deeper", f"`tek why {story.run_id} {story.ids[slowest]}` goes on from there"))
    return Cause("waiting", f"{name} waits for {said}{of}", tuple(causes), facts)


def _held_or_queued(story: Story, index: int, present: Present, now: TaskNow) -> tuple[str, list[Cause]]:
    cluster = present.cluster
    if now.due_us is not None:
        left_s = (now.due_us - cluster.now_us) / 1e6
        text = f"attempt {now.attempt} is due in {left_text(left_s)}"
        return "delayed", [Cause("delay", text, facts={"left_s": round(left_s, 3)})]
    if now.suspect is not None:
        text = (
            "it lost all attempts but one with their workers; such tasks run one at a time, and now it is the turn of "
        )
        return "trial", [Cause("trial", text + now.suspect)]
    if now.backlog is not None:
        before, queued = now.backlog
        route = str(story.tasks[index]["route"])
        text = f"{counted(queued, 'task')} of its run {'is' if queued == 1 else 'are'} in the queue `{route}`, which "
        text += f"is as many as its workers need; {counted(before, 'task')} of it come before this one"
        return "backlog", [Cause("window", text, facts={"before": before, "queued": queued}), _serving(cluster, route)]
    since_s = (cluster.now_us - now.queued_us) / 1e6 if now.queued_us is not None else 0.0
    if now.letter == "Q" and now.grant is not None:
        where = joined(dict.fromkeys(f"`{rank.worker}`" for rank in now.grant.ranks))
        text = f"it was placed on {where} {span(since_s)} ago; its worker takes it as soon as a process of it is free"
        return "placed", [Cause("placed", text, facts={"since_s": round(since_s, 3)})]
    if now.queue is not None:
        before = now.queue.messages_before
        text = f"it is in the queue `{now.queue.route}` for {span(since_s)}; "
        text += _messages(before, is_more=now.queue.is_more)
        return "queued", [Cause("queue", text, facts={"before": before}), _serving(cluster, now.queue.route)]
    return "held", []


def _messages(before: int, *, is_more: bool) -> str:
    if not before:
        return "nothing is before it"
    more = "more than " if is_more else ""
    verb = "is" if before == 1 else "are"
    return f"{more}{counted(before, 'message')} {verb} before it (one may carry several short tasks)"


def _serving(cluster: Cluster, route: str) -> Cause:
    """Return who serves a queue and how many slots are free there."""
    serving = [node for node in cluster.nodes if route_trait(route) in node.traits]
    ready = [node for node in serving if READY in node.traits]
    if not serving:
        return Cause("nobody", f"no worker serves the queue `{route}`; start one with `tek worker --class {route}`")
    if not ready:
        names = joined(f"`{node.name}` is {node.state}" for node in serving)
        return Cause("nobody", f"no worker takes tasks of the queue `{route}`: {names}")
    lines = []
    for node in sorted(ready, key=lambda node: -node.free[SLOTS])[:5]:
        kept = f", kept for {cluster.name_of(node.kept_for)}" if node.kept_for else ""
        lines.append(
            Cause("worker", f"worker `{node.name}`: {node.free[SLOTS]} of {node.total[SLOTS]} slots free{kept}")
        )
    free, total = sum(node.free[SLOTS] for node in ready), sum(node.total[SLOTS] for node in ready)
    text = f"{counted(len(ready), 'worker')} serve{'s' if len(ready) == 1 else ''} it, {free} of {total} slots free"
    return Cause("serving", text, tuple(lines), {"free": free, "slots": total})
