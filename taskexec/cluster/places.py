"""Where things are: which cluster is meant, and where a run is known (a server, or its folder at home)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskexec.cluster.client import Cluster
from taskexec.cluster.joining import joined
from taskexec.errors import ConnectionLost, NotFound, UsageError

if TYPE_CHECKING:
    from taskexec.settings import Settings

__all__ = [
    "LIVE_FILE",
    "RunPlace",
    "find_folder",
    "find_run",
    "find_url",
    "open_cluster",
    "up_file",
]

LIVE_FILE = "live.json"
"""File in a run's folder that says, while `tek run` lasts, on which server it is."""


def up_file(settings: Settings) -> Path:
    """Return the file in which `tek up` says what it has started."""
    return settings.embedded.state_folder(os.environ) / "up.json"


def _url_of_up(settings: Settings) -> str | None:
    try:
        url = json.loads(up_file(settings).read_text())["redis_url"]
    except (OSError, ValueError, KeyError):
        return None
    return str(url)


def open_cluster(settings: Settings, broker: str | None, *, join: str | None = None) -> Cluster:
    """Return the cluster that is meant: see `find_url`; a token's keys are trusted as well.

    Raises:
        UsageError: There is none, or a join token cannot be used.
        ConnectionLost: It does not answer.
    """
    settings = joined(settings, join)
    return Cluster(_find_url(settings, broker), settings)


def find_url(settings: Settings, broker: str | None) -> str:
    """Return a server's address: `--broker`, else the settings', else that of `TEK_JOIN`, else the one of `tek up`.

    A join token of the command line counts for more than the settings.

    Raises:
        UsageError: There is none, or a join token cannot be used.
    """
    return _find_url(joined(settings, None), broker)


def _find_url(settings: Settings, broker: str | None) -> str:
    url = broker or settings.redis.url or _url_of_up(settings)
    if url is None:
        raise UsageError(
            "no cluster is known here",
            hint="give its server with --broker redis://host:6379/0 or TEK_REDIS_URL, or start one with `tek up`",
        )
    return url


@dataclass(frozen=True, slots=True)
class RunPlace:
    """A run that was found."""

    run_id: str
    folder: Path
    """Its folder at home, which need not exist."""
    cluster: Cluster | None
    """The server that knows it; None when only its folder does."""

    def home_summary(self) -> dict[str, Any] | None:
        """Return the summary in its folder, or None when there is none."""
        try:
            summary: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        except (OSError, ValueError):
            return None
        return summary


def find_run(text: str, settings: Settings, broker: str | None, *, needs_summary: bool = True) -> RunPlace:
    """Return the run that a person means: an id, the unique beginning of one, or `last`.

    A folder at home whose run has ended is enough; otherwise the server is asked: that of a `tek run` that goes on,
    else the one that `open_cluster` finds. With `needs_summary` false, a folder of which nothing was brought home will
    do as well.

    Raises:
        NotFound: No run, or several, answer to the text.
        UsageError, ConnectionLost: As `open_cluster`.
    """
    runs_dir = settings.evidence.runs_dir
    cluster, failure = _any_cluster(settings, broker)
    known = set(cluster.runs.listed()) if cluster is not None else set()
    run_id = _choose(text, known | _folders(runs_dir), failure)
    folder = runs_dir / run_id
    if cluster is None or run_id not in known:
        cluster = _live_cluster(folder, settings)
    place = RunPlace(run_id, folder, cluster)
    if needs_summary and cluster is None and place.home_summary() is None:
        hint = f"its server is gone, and it was not finished; `tek retry {run_id}` goes on with it"
        raise NotFound(f"run `{run_id}` has no summary in {folder}", hint=hint)
    return place


def find_folder(text: str, settings: Settings) -> Path:
    """Return the folder at home that a person means: a path, a run's id, the unique beginning of one, or `last`.

    Raises:
        NotFound: There is none, or several answer to the text.
    """
    path = Path(text)
    if path.is_dir() and (os.sep in text or text in {".", ".."} or (path / "ledger.jsonl").is_file()):
        return path
    if os.sep in text:
        raise NotFound(f"there is no folder `{text}`")
    runs_dir = settings.evidence.runs_dir
    return runs_dir / _choose(text, _folders(runs_dir), None)


def _any_cluster(settings: Settings, broker: str | None) -> tuple[Cluster | None, Exception | None]:
    try:
        return open_cluster(settings, broker), None
    except (UsageError, ConnectionLost) as error:
        if broker is not None:
            raise
        return None, error


def _folders(runs_dir: Path) -> set[str]:
    try:
        return {path.parent.name for path in runs_dir.glob("*/plan.json")}
    except OSError:
        return set()


def _choose(text: str, known: set[str], failure: Exception | None) -> str:
    if text == "last" and known:
        return max(known)
    matches = [text] if text in known else sorted(run for run in known if run.startswith(text))
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NotFound(f"`{text}` is the beginning of {len(matches)} runs: {', '.join(matches[:5])}")
    if isinstance(failure, ConnectionLost):
        raise failure
    hint = "`tek runs` lists the runs" + ("" if failure is None else "; no cluster is known here: see --broker")
    raise NotFound(f"there is no run `{text}`", hint=hint)


def _live_cluster(folder: Path, settings: Settings) -> Cluster | None:
    try:
        live: Mapping[str, str] = json.loads((folder / LIVE_FILE).read_text())
        return Cluster(live["redis_url"], settings)
    except (OSError, ValueError, KeyError, ConnectionLost):
        return None
