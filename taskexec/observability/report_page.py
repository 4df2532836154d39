"""A report as one HTML file that needs nothing else: no script, no other file, no network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any

from taskexec.domain.states import TaskStatus
from taskexec.observability.parts import Part
from taskexec.observability.report import CHAIN_MAX, RunReport
from taskexec.plan.svg import STATUS_SIGNS, format_duration

__all__ = ["render_report"]

_MEANINGS = {
    Part.WORK: "tasks did their work",
    Part.RESOURCES: "no free slot, or no place for what was asked for",
    Part.DISPATCH: "a slot was free, or no worker was there yet",
    Part.RETRIES: "attempts that failed or were lost, and delays behind them",
    Part.PEOPLE: "the run had ended until somebody had tasks run again",
    Part.DEPENDENCIES: "none on the critical path: it goes through those that were waited for",
    Part.OVERHEAD: "from the end of work until it was known",
}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def render_report(report: RunReport, *, gantt: str, graph: str | None, version: str) -> str:
    """Return the page.

    Args:
        report: What it says.
        gantt: The chart, SVG text.
        graph: The drawing of the graph, SVG text; None when there are too many tasks to draw.
        version: Of what has written it.
    """
    from jinja2 import Environment, StrictUndefined, select_autoescape
    from markupsafe import Markup

    environment = Environment(
        autoescape=select_autoescape(default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.filters |= {"duration": _duration, "moment": _moment, "size": _size, "share": _share}
    template = environment.from_string(files(__package__).joinpath("templates/report.html").read_text("utf-8"))
    return template.render(
        report=report,
        summary=report.summary,
        blame=report.blame,
        parts=_parts(report),
        links=_links(report),
        links_total=len(report.blame.chain),
        counts=_counts(report.summary["counts"], report.tasks_total),
        signs=STATUS_SIGNS,
        gantt=Markup(gantt),  # noqa: S704 - our own drawing, which escapes all it is given
        graph=None if graph is None else Markup(graph),  # noqa: S704 - as above
        version=version,
    )


def _clean(value: Any) -> Any:
    """Show characters that steer terminals or turn the direction of text as escapes."""
    if type(value) is not str:
        return value
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", value)


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(seconds)


def _moment(instant: str | None) -> str:
    """Return an instant for people, in UTC."""
    return "" if not instant else datetime.fromisoformat(instant).strftime("%Y-%m-%d %H:%M:%S UTC")


def _size(size_bytes: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:,.1f} {unit}"
    return f"{size_bytes:,} B"


def _share(ratio: float) -> str:
    return f"{ratio * 100:.1f} %"


def _parts(report: RunReport) -> list[dict[str, Any]]:
    wall = max(report.blame.wall_us, 1)
    return [
        {"name": str(part), "seconds": amount / 1e6, "ratio": amount / wall, "meaning": _MEANINGS[part]}
        for part, amount in report.blame.parts.items()
    ]


def _links(report: RunReport) -> list[dict[str, Any]]:
    """Return the tasks of the critical path that took the longest, in order."""
    blame = report.blame
    links = list(zip(blame.chain, blame.ids, strict=True))
    kept = {id(link) for link, _ in sorted(links, key=lambda one: one[0].since_us - one[0].until_us)[:CHAIN_MAX]}
    return [
        {
            "task": name,
            "from_s": (link.since_us - blame.started_us) / 1e6,
            "to_s": (link.until_us - blame.started_us) / 1e6,
            "work_s": link.parts.get(Part.WORK, 0) / 1e6,
            "waits": [
                f"{part} {format_duration(amount / 1e6)}"
                for part, amount in link.parts.items()
                if part is not Part.WORK and amount >= 1000
            ],
        }
        for link, name in links
        if id(link) in kept
    ]


def _counts(counts: Mapping[str, int], total: int) -> list[dict[str, Any]]:
    """Return the statuses that occur, with the share of each."""
    known = [str(status) for status in TaskStatus]
    found = sorted(counts.items(), key=lambda item: known.index(item[0]) if item[0] in known else len(known))
    return [{"status": name, "count": count, "ratio": count / max(total, 1)} for name, count in found if count]
