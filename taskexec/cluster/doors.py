"""Where the API and Flower of a cluster are found: as the settings say, else as `tek up` says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from taskexec.cluster.places import up_file
from taskexec.domain.flower_links import flower_task_url, flower_tasks_url

if TYPE_CHECKING:
    from taskexec.settings import Settings

__all__ = ["api_address", "flower_address", "flower_of_run", "flower_of_task"]


def api_address(settings: Settings) -> str | None:
    """Return the address of the API, as `https://tek.example`; None where none is known."""
    return settings.api.public_url.rstrip("/") or _of_up(settings, "api")


def flower_address(settings: Settings) -> str | None:
    """Return the address of Flower; None where none is known."""
    return settings.flower.public_url or _of_up(settings, "flower")


def flower_of_run(settings: Settings, run_id: str) -> str | None:
    """Return Flower's list of the tasks of a run; None where no Flower is known."""
    flower = flower_address(settings)
    return None if flower is None else flower_tasks_url(flower, run_id)


def flower_of_task(settings: Settings, run_id: str, index: int) -> str | None:
    """Return Flower's page of a task, by its position in the plan; None where no Flower is known."""
    flower = flower_address(settings)
    return None if flower is None else flower_task_url(flower, run_id, index)


def _of_up(settings: Settings, door: str) -> str | None:
    try:
        state: dict[str, Any] = json.loads(up_file(settings).read_text())
    except (OSError, ValueError):
        return None
    found = state.get(door) if isinstance(state, dict) else None
    return str(found["url"]).rstrip("/") if isinstance(found, dict) and found.get("url") else None
