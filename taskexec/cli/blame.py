"""`tek blame`: where the time of a run went, and what would shorten it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit
from taskexec.cli.where import broker_option, find_run

if TYPE_CHECKING:
    from taskexec.observability.blame import Blame
    from taskexec.observability.hindsight import Hindsight
    from taskexec.observability.timeline import RunTimeline

__all__ = ["blame", "hindsight_lines"]

_SHOWN_LINKS = 40
_BAR_WIDTH = 30
_MEANINGS = {
    "work": "tasks did their work",
    "dependencies": "waiting for others: none on the chain, which goes through those that were waited for",
    "resources": "no free slot, or no place for what is asked for",
    "dispatch": "from a free slot (or from the start, before a worker was there) until the work began",
    "retries": "attempts that failed or were lost, and the delays behind them",
    "people": "the run had ended until somebody had tasks run again",
    "overhead": "from the end of work until it was known and followed by the next",
}


@click.command()
@click.argument("run_id", metavar="[RUN]", default="last")
@broker_option
@settings_options
@output_option
def blame(run_id: str, broker: str | None, settings_request: SettingsRequest, output: Output) -> None:
    """Split the wall time of a run without remainder, along the tasks that it took so long for.

    RUN is an id, the beginning of one, or `last`. Shown are the parts, the critical path with what each of its tasks
    spent its time on, what would have shortened the run most, and how good the estimates of its end were. Of a run that
    goes on it is split until now.
    """
    from taskexec.cluster.histories import read_timeline
    from taskexec.observability.blame import blame as find_blame
    from taskexec.observability.hindsight import look_back

    place = find_run(run_id, settings_request, broker)
    timeline = read_timeline(place)
    found = find_blame(timeline)
    emit(
        output,
        table=lambda: list(_table(place.run_id, found, look_back(timeline), timeline)),
        data=lambda: {"run_id": place.run_id, **found.to_json(), "estimates": look_back(timeline).to_json()},
        quiet=lambda: found.ids,
    )


def _table(run_id: str, found: Blame, hindsight: Hindsight, timeline: RunTimeline) -> Iterator[Any]:
    from taskexec.plan.svg import format_duration

    goes_on = "" if found.is_final else ", so far"
    yield f"run {run_id} took {format_duration(found.wall_us / 1e6)}{goes_on}: {timeline.view.status}"
    yield ""
    yield build_table(
        ["part", "time", "share", "", "what it is"],
        (_part_cells(str(part), amount, found.wall_us) for part, amount in found.parts.items()),
        right={"time", "share"},
        keep={"part", ""},
    )
    yield ""
    yield from _chain(found)
    if found.remedies:
        yield ""
        yield "what would have shortened it, each by itself, all else waiting as it did:"
        yield from (f"  {remedy.text}" for remedy in found.remedies)
    if hindsight.said:
        yield ""
        yield from hindsight_lines(hindsight)


def _part_cells(part: str, amount_us: int, wall_us: int) -> list[str]:
    from taskexec.plan.svg import format_duration

    share = amount_us / wall_us if wall_us else 0.0
    bar = "█" * round(share * _BAR_WIDTH) or ("▏" if amount_us else "")
    return [part, format_duration(amount_us / 1e6), f"{share:.1%}", bar, _MEANINGS[part]]


def _chain(found: Blame) -> Iterator[Any]:
    """Yield the tasks of the chain; of very many those that took the longest, in order."""
    from taskexec.plan.svg import format_duration

    links = list(zip(found.chain, found.ids, strict=True))
    longest = sorted(links, key=lambda pair: pair[0].since_us - pair[0].until_us)[:_SHOWN_LINKS]
    shown = [pair for pair in links if pair in longest] if len(links) > _SHOWN_LINKS else links
    parts = [part for part in found.parts if any(link.parts.get(part) for link, _ in shown)]
    yield build_table(
        ["critical path", "from", "to", *map(str, parts)],
        (
            [
                name,
                format_duration((link.since_us - found.started_us) / 1e6),
                format_duration((link.until_us - found.started_us) / 1e6),
                *(format_duration(link.parts[part] / 1e6) if link.parts.get(part) else "" for part in parts),
            ]
            for link, name in shown
        ),
        right={"from", "to", *map(str, parts)},
        keep={"critical path"},
    )
    if len(links) > len(shown):
        yield f"and {len(links) - len(shown):,} more that took less"


def hindsight_lines(hindsight: Hindsight) -> Iterator[str]:
    """Yield how good the estimates were."""
    from taskexec.plan.svg import format_duration

    if hindsight.mean_error_ratio is None:
        return
    yield f"the estimates of its end were off by {hindsight.mean_error_ratio:.0%} of the time left on average:"
    for one in hindsight.said:
        said, was = format_duration(one.said_s), format_duration(one.was_s)
        least, most = format_duration(one.earliest_s), format_duration(one.latest_s)
        within = "within" if one.is_within else "outside"
        yield f"  after {one.share:.0%}: {said} left ({least} to {most}), it was {was}, {within} that"
