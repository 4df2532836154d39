"""Which tasks of a run somebody means to have run again, and how a refusal names them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from taskexec.domain.again import NOT_DONE
from taskexec.domain.states import TaskStatus
from taskexec.errors import NotFound, Refused, TasksBlocked, TasksBusy

__all__ = ["refusals_with_names", "tasks_to_retry"]

_SHOWN = 5


def tasks_to_retry(
    run_id: str, statuses: Mapping[str, str], named: Iterable[str], *, with_unfinished: bool, hint: str
) -> list[int]:
    """Return the positions of the tasks that are meant, each once, in plan order.

    Args:
        run_id: The run.
        statuses: The status of every task by its id, in plan order.
        named: Ids that were given.
        with_unfinished: Whether all that failed, was skipped or cancelled is meant as well.
        hint: What tells which tasks there are.

    Raises:
        NotFound: The run has no task of such an id.
        Refused: One was done before the run, which never performs it.
    """
    index_of = {task: index for index, task in enumerate(statuses)}
    found = set()
    for task in named:
        if task not in index_of:
            raise NotFound(f"run `{run_id}` has no task `{task}`", hint=hint)
        if statuses[task] == TaskStatus.SATISFIED:
            raise Refused(
                f"task `{task}` was done before run `{run_id}`, which never performs it",
                hint="start the plan anew, without `--reuse`",
            )
        found.add(index_of[task])
    if with_unfinished:
        found |= {index_of[task] for task, status in statuses.items() if status in NOT_DONE}
    return sorted(found)


@contextlib.contextmanager
def refusals_with_names(ids: Sequence[str]) -> Iterator[None]:
    """Have what refuses to run tasks again name them; `ids` are those of all tasks, in plan order."""
    try:
        yield
    except (TasksBusy, TasksBlocked) as error:
        shown = ", ".join(f"`{ids[index]}`" for index in error.indexes[:_SHOWN])
        more = len(error.indexes) - _SHOWN
        which = shown + (f" and {more} more" if more > 0 else "")
        raise type(error)(f"{error.message}: {which}", indexes=error.indexes, hint=error.hint) from error
