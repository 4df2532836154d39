"""How a State of Truth was understood: what was found in it and left out, and why there are no tasks if that is so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from taskexec.errors import Fault, Place
from taskexec.plan.draft import DraftTask, PlanDraft, Reading
from taskexec.sources.sot.markdown import LiveText
from taskexec.sources.sot.names import Queue
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.values.amounts import show

__all__ = ["describe", "judge_emptiness", "judge_open_text"]

_NOTHING = "no tasks were found, neither ids in a section `Execution Queue & Task Hooks` nor boxes `- [ ]`"
_HINT = (
    "write `- [ ] Name — Dependencies: …` for a task; or a heading `### G. Execution Queue & Task Hooks`, "
    "below it `1. **Queue A — Name**` and `- Tasks:` with ids in backticks"
)
_PLACES_MOST = 10


def describe(tasks: Sequence[DraftTask], found: Mapping[str, int], left_out: Mapping[str, int]) -> Reading:
    """Return how a file was understood.

    Args:
        tasks: What was read.
        found: How many there are of each kind of thing that means something.
        left_out: The same for what means nothing.
    """
    counts = _counted(found)
    reading = Reading(form="State of Truth (Markdown)" + (f": {', '.join(counts)}" if counts else ""))
    reading.metadata = list(dict.fromkeys(chain.from_iterable(task.metadata for task in tasks)))
    reading.left_out = _counted(left_out)
    idle = sum(not task.payload and task.agent is None and task.satisfied is None for task in tasks)
    if idle:
        reading.defaults = [f"agent noop: nothing in the file says what to run ({_count(idle, 'task')})"]
    return reading


def judge_open_text(live: LiveText, places: TextPlaces, draft: PlanDraft) -> None:
    """Warn of a comment or code block that hides the rest of the file; without any task, that is the fault."""
    found = (
        ("sot.open_comment", "a comment", live.open_comment, "write `-->` where the comment ends"),
        (
            "sot.open_code",
            "a code block",
            live.open_fence,
            "write the same fence, such as ```` ``` ````, where it ends",
        ),
    )
    for code, what, offset, hint in found:
        if offset is not None:
            message = f"{what} begins here and is never closed, so that nothing behind it is read"
            fault = Fault(code, message, (places.at(offset),), hint)
            (draft.warnings if draft.tasks else draft.faults).append(fault)


def judge_emptiness(draft: PlanDraft, queues: Sequence[Queue], *, placeholders: int, is_blank: bool) -> None:
    """Add the fault that a draft has no tasks, unless other faults say why.

    Args:
        draft: What was read; changed in place.
        queues: The file's queues.
        placeholders: How many placeholders stand where a task would.
        is_blank: Whether the file holds nothing but blanks.
    """
    if draft.tasks or draft.faults:
        return
    message, hint = _NOTHING, _HINT
    places: tuple[Place, ...] = (Place(draft.source),)
    names = [queue.name for queue in queues if queue.name is not None]
    if is_blank:
        message = "the file is empty"
    elif names:
        message = f"{_first(names[0].value, len(names))} no tasks"
        places = tuple(name.place for name in names[:_PLACES_MOST])
        hint = "write `- Tasks:` below the queue with ids in backticks, or ``- Task `id` — Title`` for each task"
    if placeholders:
        message += f", only {_count(placeholders, 'placeholder')}"
    draft.faults.append(Fault("sot.no_tasks", message, places, hint))


def _first(name: str, number: int) -> str:
    if number == 1:
        return f"queue {show(name)} has"
    return f"queue {show(name)} and {number - 1:,} more have"


def _counted(numbers: Mapping[str, int]) -> list[str]:
    return [_count(number, word) for word, number in numbers.items() if number]


def _count(number: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("x") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"
