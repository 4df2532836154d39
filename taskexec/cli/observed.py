"""How long the tasks of an earlier run took, for `--observed RUN`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from taskexec.cli.where import find_run

if TYPE_CHECKING:
    from taskexec.cli.options import SettingsRequest

__all__ = ["observed_durations"]


def observed_durations(run_id: str, request: SettingsRequest) -> dict[str, float]:
    """Return how long each task of a run took that succeeded, in seconds, by its id.

    Raises:
        NotFound: No such run.
    """
    from taskexec.cluster.snapshot import take_snapshot

    durations = {}
    for event in take_snapshot(find_run(run_id, request, None)).events():
        if event["status"] == "succeeded":
            span = datetime.fromisoformat(event["finished_at"]) - datetime.fromisoformat(event["started_at"])
            durations[event["id"]] = span.total_seconds()
    return durations
