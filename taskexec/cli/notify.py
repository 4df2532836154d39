"""`tek notify`: who is told of runs, and whether they can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit, say
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.observability.notify import Target
    from taskexec.settings import NotifySettings

__all__ = ["notify"]

_UNREACHED = 3


@click.command()
@click.argument("target", metavar="[TARGET]", required=False)
@settings_options
@output_option
@click.option("--test", "is_test", is_flag=True, help="Tell each of them something now, once.")
def notify(target: str | None, settings_request: SettingsRequest, output: Output, is_test: bool) -> int:
    """List who is told of runs, or try it out.

    TARGET is one address as the setting notify.targets has it (https://…, mailto:a@b.example, slack://…); without it,
    all that the settings name are meant. Exit status with --test: 0 all were told, 3 some were not.
    """
    settings = settings_request.load({"notify.targets": target} if target else None).notify
    targets = _targets(settings, only=bool(target))
    if not targets:
        raise UsageError("nobody is told of runs", hint="set notify.targets or notify.command, or name a TARGET")
    rows = [{"kind": str(one.kind), "target": one.shown} for one in targets]
    if not is_test:
        _show(output, rows)
        return 0
    for one, row in zip(targets, rows, strict=True):
        row["told"] = _try(one, settings)
    _show(output, rows)
    return 0 if all(row["told"] == "yes" for row in rows) else _UNREACHED


def _targets(settings: NotifySettings, *, only: bool) -> tuple[Target, ...]:
    from taskexec.observability.notify.addresses import targets_of

    return targets_of(settings.targets, "" if only else settings.command)


def _try(target: Target, settings: NotifySettings) -> str:
    """Tell one target that this is a test; return `yes`, or why it was not told."""
    from taskexec.observability.notify import DeliveryFailed, Notice, NoticeKind, deliver
    from taskexec.observability.notify.delivery import policy_of

    notice = Notice(
        kind=NoticeKind.RUN_ENDED,
        key="test",
        run_id="test",
        title="a test of taskexec: no run has ended",
        text="Somebody has tried out `tek notify --test`.",
        fields={"is_test": True},
    )
    try:
        deliver(target, notice, policy_of(settings))
    except DeliveryFailed as error:
        say(f"{target.shown}: {error}")
        return str(error)
    return "yes"


def _show(output: Output, rows: list[dict[str, Any]]) -> None:
    columns = list(rows[0])
    emit(
        output,
        table=lambda: build_table(columns, ([row[name] for name in columns] for row in rows), keep={"kind"}),
        data={"targets": rows},
        quiet=[row["target"] for row in rows],
    )
