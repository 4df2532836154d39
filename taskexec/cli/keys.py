"""`tek keys`: your own public key, and the keys of others that you trust."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit, say
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.completion.keys import KeyFolder
    from taskexec.settings import Settings

__all__ = ["key_folder", "keys"]


@click.command()
@click.argument("action", type=click.Choice(["show", "list", "trust", "untrust"]), default="show")
@click.argument("key", required=False)
@click.option("--name", metavar="NAME", help="With trust: what to call the key; default: its fingerprint.")
@settings_options
@output_option
def keys(action: str, key: str | None, name: str | None, settings_request: SettingsRequest, output: Output) -> None:
    """Show your public key, or manage the keys that you trust.

    show prints your own key; it is made when it is first needed. list prints every key that is trusted here. trust
    KEY and untrust KEY (or its name) add and remove one. Plans are signed with your key; workers perform what a key
    that they trust has signed, and tek verify says whose signatures it found.
    """
    if (key is None) == (action in {"trust", "untrust"}):
        raise UsageError(
            f"`tek keys {action}` needs a key" if key is None else f"`tek keys {action}` takes no key",
            hint="`tek keys trust KEY --name NAME` trusts one, `tek keys` shows yours",
        )
    if name is not None and action != "trust":
        raise UsageError("--name goes with `tek keys trust KEY`")
    settings = settings_request.load()
    folder = key_folder(settings)
    if action == "trust":
        assert key is not None
        _trust(folder, key, name, output)
    elif action == "untrust":
        assert key is not None
        _untrust(folder, key, output)
    elif action == "list":
        _list(folder, settings, output)
    else:
        _show(folder, output)


def key_folder(settings: Settings) -> KeyFolder:
    """Return the folder of keys that settings name."""
    from taskexec.completion.keys import KeyFolder

    return KeyFolder(settings.security.keys_folder(os.environ))


def _show(folder: KeyFolder, output: Output) -> None:
    from taskexec.completion.keys import fingerprint

    public = folder.identity().public
    emit(
        output,
        table=lambda: public,
        data=lambda: {"key": public, "fingerprint": fingerprint(public), "folder": str(folder.path)},
        quiet=[public],
    )
    if output is Output.TABLE:
        say(f"fingerprint {fingerprint(public)}, kept in {folder.path}; others trust it with `tek keys trust {public}`")


def _list(folder: KeyFolder, settings: Settings, output: Output) -> None:
    from taskexec.completion.keys import fingerprint

    trust = folder.trust(settings.security.trusted(), own=folder.identity())
    found = [
        {"key": public, "fingerprint": fingerprint(public), "name": name}
        for public, name in sorted(trust.names.items(), key=lambda item: item[1])
    ]
    emit(
        output,
        table=lambda: build_table(
            ["name", "key", "fingerprint"],
            [(one["name"], one["key"], one["fingerprint"]) for one in found],
            keep={"name"},
        ),
        data={"keys": found},
        quiet=[one["key"] for one in found],
    )


def _trust(folder: KeyFolder, key: str, name: str | None, output: Output) -> None:
    from taskexec.completion.keys import fingerprint

    name = folder.add_trusted(key, name)
    emit(
        output,
        table=lambda: f"trusted as {name}: {key}",
        data={"key": key, "fingerprint": fingerprint(key), "name": name},
        quiet=[name],
    )


def _untrust(folder: KeyFolder, key: str, output: Output) -> None:
    names = folder.remove_trusted(key)
    emit(
        output,
        table=lambda: f"no longer trusted: {', '.join(names)}",
        data={"removed": names},
        quiet=names,
    )
