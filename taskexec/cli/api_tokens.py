"""`tek token new`, `list` and `revoke`: the tokens of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from taskexec.cli.options import SettingsRequest, output_option, settings_options
from taskexec.cli.output import Output, build_table, emit, say
from taskexec.cli.where import broker_option, open_cluster
from taskexec.errors import NotFound, UsageError

if TYPE_CHECKING:
    from taskexec.domain.api_token import ApiToken
    from taskexec.settings import Settings
    from taskexec.store.tokens import TokenStore

__all__ = ["list_tokens", "new", "revoke"]

_ROLES = ("viewer", "submitter", "approver", "admin")
_ROUTES = ("cpu", "gpu", "distributed")
_NAME_MAX = 100


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), required=True, help="What it may do; each includes those before.")
@click.option("--expires", metavar="DURATION", help="It counts no more after so long: 30d, 12h.")
@click.option("--agents", metavar="NAME,…", help="Agents that its plans may name; default: all.")
@click.option("--routes", metavar="NAME,…", help="Routes that its plans may name; default: all.")
@broker_option
@settings_options
@output_option
def new(
    name: str,
    role: str,
    expires: str | None,
    agents: str | None,
    routes: str | None,
    broker: str | None,
    settings_request: SettingsRequest,
    output: Output,
) -> None:
    """Make a token of the API and print it; it is not kept, and cannot be shown again.

    A viewer looks, a submitter submits and steers runs as well, an approver approves what waits for a person, an
    admin steers workers and tokens too.
    """
    import time

    from taskexec.domain.api_token import new_token

    _check_name(name)
    made, text = new_token(
        name,
        role,
        now=time.time(),
        lifetime_s=_lifetime_s(expires),
        agents=_names(agents),
        routes=_known_routes(routes),
    )
    _store(settings_request.load(), broker).add(made)
    emit(output, table=lambda: text, data={"token": text} | _shown(made), quiet=[text])
    if output is Output.TABLE:
        say(f"keep it: it is not shown again; `tek token revoke {made.token_id}` ends it")


@click.command("list")
@broker_option
@settings_options
@output_option
def list_tokens(broker: str | None, settings_request: SettingsRequest, output: Output) -> None:
    """List the tokens of the API, without their secrets."""
    shown = [_shown(token) for token in _store(settings_request.load(), broker).listed()]
    columns = ("id", "name", "role", "made", "expires", "agents", "routes")
    emit(
        output,
        table=lambda: build_table(columns, (_cells(token) for token in shown), keep={"id"}),
        data={"tokens": shown},
        quiet=[token["id"] for token in shown],
    )


@click.command()
@click.argument("token")
@broker_option
@settings_options
@output_option
def revoke(token: str, broker: str | None, settings_request: SettingsRequest, output: Output) -> None:
    """Have a token of the API count no more, at once. TOKEN is its id, or its name where no other has it."""
    store = _store(settings_request.load(), broker)
    meant = _meant(store.listed(), token)
    store.remove(meant.token_id)
    emit(output, table=lambda: f"{meant.token_id} revoked", data=_shown(meant), quiet=[meant.token_id])


def _store(settings: Settings, broker: str | None) -> TokenStore:
    from taskexec.store.tokens import TokenStore

    return TokenStore(open_cluster(settings, broker).connection)


def _meant(tokens: list[ApiToken], text: str) -> ApiToken:
    found = [token for token in tokens if token.token_id == text] or [token for token in tokens if token.name == text]
    if not found:
        raise NotFound(f"there is no token `{text}`", hint="`tek token list` lists them")
    if len(found) > 1:
        ids = ", ".join(f"`{token.token_id}`" for token in found)
        raise UsageError(f"{len(found)} tokens are called `{text}`", hint=f"give one of the ids {ids}")
    return found[0]


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > _NAME_MAX or not name.isprintable():
        raise UsageError(f"`{name}` is no name of a token", hint=f"take 1 to {_NAME_MAX} visible characters")


def _lifetime_s(text: str | None) -> float | None:
    from taskexec.sources.values.durations import parse_duration_s

    if text is None:
        return None
    try:
        lifetime_s = parse_duration_s(text)
    except ValueError as error:
        raise UsageError(f"`--expires {text}`: {error}", hint="write a duration such as 30d or 12h") from error
    if not lifetime_s:
        raise UsageError(f"`--expires {text}` makes a token that never counts", hint="write a duration such as 30d")
    return lifetime_s


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _known_routes(text: str | None) -> tuple[str, ...] | None:
    names = _names(text)
    unknown = [name for name in names or () if name not in _ROUTES]
    if unknown:
        raise UsageError(f"`{unknown[0]}` is no route", hint=f"routes: {', '.join(_ROUTES)}")
    return names


def _shown(token: ApiToken) -> dict[str, Any]:
    from taskexec.domain.clock import iso_time

    return {
        "id": token.token_id,
        "name": token.name,
        "role": token.role,
        "created_at": iso_time(token.created_at),
        "expires_at": None if token.expires_at is None else iso_time(token.expires_at),
        "agents": None if token.agents is None else list(token.agents),
        "routes": None if token.routes is None else list(token.routes),
    }


def _cells(token: dict[str, Any]) -> list[str]:
    names = [", ".join(token[name] or ()) if token[name] is not None else "all" for name in ("agents", "routes")]
    return [
        *(token["id"], token["name"], token["role"], token["created_at"][:19] + "Z"),
        "never" if token["expires_at"] is None else token["expires_at"][:19] + "Z",
        *(name or "none" for name in names),
    ]
