"""Addresses of Flower's pages about a run and its tasks, and of the run page that they lead back to."""

from __future__ import annotations

from urllib.parse import quote

__all__ = ["celery_id", "flower_task_url", "flower_tasks_url", "run_page_url"]


def celery_id(run_id: str, index: int) -> str:
    """Return the id that Celery, its `AsyncResult` and Flower know a task by; all its attempts share it."""
    return f"{run_id}.{index}"


def flower_task_url(flower: str, run_id: str, index: int) -> str:
    """Return Flower's page of one task, by its position in the plan; `flower` is Flower's own address."""
    return f"{flower.rstrip('/')}/task/{quote(celery_id(run_id, index), safe='')}"


def flower_tasks_url(flower: str, run_id: str) -> str:
    """Return Flower's list of the tasks of one run.

    Its page takes `name`, `state` and `worker` and makes one search of them, so that the run can follow the name that
    all our tasks begin with.
    """
    return f"{flower.rstrip('/')}/tasks?name={quote(f'tek. kwargs:run={run_id}', safe='')}"


def run_page_url(api: str, run_id: str, task_id: str | None = None) -> str:
    """Return the page of a run, opened at one of its tasks if one is given; `api` is the API's own address."""
    place = "" if task_id is None else f"#task={quote(task_id, safe='')}"
    return f"{api.rstrip('/')}/runs/{quote(run_id, safe='')}{place}"
