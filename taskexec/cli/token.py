"""`tek token`: one line with which another machine joins the cluster; its subcommands are about tokens of the API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import click
from click.core import ParameterSource

from taskexec.cli.api_tokens import list_tokens, new, revoke
from taskexec.cli.keys import key_folder
from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, emit, say
from taskexec.cli.where import broker_option, find_url
from taskexec.cluster.joining import write_secret
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.domain.join import JoinToken
    from taskexec.settings import Settings

__all__ = ["token"]


@click.group(invoke_without_command=True)
@click.pass_context
@broker_option
@click.option("--host", metavar="NAME", help="Name or address under which workers find the server, if another.")
@click.option("--port", type=click.IntRange(1, 65_535), metavar="N", help="Its port there, such as that of a tunnel.")
@click.option("--trust", "keys", multiple=True, metavar="KEY", help="Trust this public key as well; may be repeated.")
@click.option("--no-own-key", is_flag=True, help="Leave your own public key out.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, readable by you only.")
@settings_options
@output_option
def token(
    context: click.Context,
    broker: str | None,
    host: str | None,
    port: int | None,
    keys: tuple[str, ...],
    no_own_key: bool,
    save: Path | None,
    settings_request: SettingsRequest,
    output: Output,
) -> None:
    """Print one line with which a worker on another machine joins: tek worker --join TOKEN.

    It holds the server's address with user and password, certificates if the address names some, and your public
    key, so that the worker performs your plans. Keep it as you keep the password.

    The subcommands are about the tokens of the API.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    settings = settings_request.load()
    made = _with_place(_make(find_url(settings, broker), _keys(settings, keys, no_own_key=no_own_key)), host, port)
    line = made.encoded()
    if save is not None:
        write_secret(save, line + "\n")
    shown = str(save) if save is not None else line
    emit(
        output,
        table=lambda: shown,
        data={
            "token": None if save is not None else line,
            "file": None if save is None else str(save),
            "address": made.address,
            "trusted_keys": list(made.trusted_keys),
        },
        quiet=[shown],
    )
    if output is Output.TABLE:
        say(f"for {made.address}; it holds a password: `tek worker --join @FILE` keeps it off the command line")


token.add_command(new)
token.add_command(list_tokens)
token.add_command(revoke)


def _refuse_options(context: click.Context) -> None:
    """Refuse options in front of a subcommand, which would not see them."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        name = context.invoked_subcommand
        raise UsageError(f"`{given[0]}` stands before `{name}`", hint=f"write `tek token {name} … {given[0]}`")


def _keys(settings: Settings, extra: tuple[str, ...], *, no_own_key: bool) -> tuple[str, ...]:
    own = () if no_own_key else (key_folder(settings).identity().public,)
    return tuple(dict.fromkeys((*own, *settings.security.trusted(), *extra)))


def _make(url: str, keys: tuple[str, ...]) -> JoinToken:
    """Return a token for an address; what its `ssl_…` options name is read, so that the token needs no files."""
    from taskexec.domain.join import JoinToken

    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    texts = [_text(query.pop(name, None)) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")]
    return JoinToken(parts._replace(query=urlencode(query)).geturl(), keys, *texts)


def _text(path: str | None) -> str:
    if path is None:
        return ""
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else "it is no PEM file"
        raise UsageError(f"`{path}`, which the server's address names, cannot be read: {why}") from error


def _with_place(made: JoinToken, host: str | None, port: int | None) -> JoinToken:
    from dataclasses import replace

    if host is None and port is None:
        return made
    parts = urlsplit(made.url)
    user, at, _ = parts.netloc.rpartition("@")
    name = host or parts.hostname or ""
    name = f"[{name}]" if ":" in name and not name.startswith("[") else name
    number = port or parts.port
    return replace(made, url=parts._replace(netloc=f"{user}{at}{name}{f':{number}' if number else ''}").geturl())
