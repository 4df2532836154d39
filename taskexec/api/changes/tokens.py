"""Logging in and out in a browser, and the tokens: `/session`, `/tokens`."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from taskexec.api.access import Admin, Viewer
from taskexec.api.guard import TokenGuard, caller_of, session_cookie
from taskexec.api.problems import Problem
from taskexec.api.services import Services, ServicesOf
from taskexec.domain.api_token import ApiToken, new_token
from taskexec.domain.clock import iso_time
from taskexec.errors import NotFound
from taskexec.store.tokens import TokenStore

__all__ = ["router"]

RoleName = Literal["viewer", "submitter", "approver", "admin"]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class LoginRequest(BaseModel):
    """Who logs in."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=200, description="The text of a token, `tek_…`.")
    replace: bool = Field(
        default=True,
        description="Whether a session that the browser has with another token ends; otherwise 409 is answered.",
    )


class SessionModel(BaseModel):
    """Who calls."""

    name: str
    role: RoleName
    token_id: str
    expires_at: str | None = Field(description="When the token counts no more, in ISO 8601; null never.")
    agents: list[str] | None = Field(description="Agents that plans may name; null is all.")
    routes: list[str] | None = Field(description="Routes that plans may name; null is all.")


class TokenRequest(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="Whom or what it is for.")
    role: RoleName
    expires_s: Annotated[float, Field(gt=0, le=3_162_240_000)] | None = Field(
        default=None, description="After so many seconds it counts no more; null never."
    )
    agents: Annotated[list[Name], Field(max_length=100)] | None = Field(
        default=None, description="Agents that its plans may name; null is all."
    )
    routes: list[Literal["cpu", "gpu", "distributed"]] | None = Field(
        default=None, description="Routes that its plans may name; null is all."
    )


class TokenModel(SessionModel):
    """A token, without its secret."""

    created_at: str


class TokenMade(TokenModel):
    """A token that was made."""

    token: str = Field(description="Its text, shown this once.")


class TokenList(BaseModel):
    """All tokens, the oldest first."""

    tokens: list[TokenModel]


router = APIRouter(prefix="/api/v1", tags=["access"])


@router.get("/session", summary="Say who calls")
async def show_session(caller: Viewer, request: Request, services: ServicesOf) -> SessionModel:
    """Return whom the token, or the session, stands for."""
    found = await to_thread.run_sync(_store(services).find, caller.token_id)
    if found is None:  # revoked since it was looked at
        raise NotFound("the token was revoked")
    return SessionModel(**_shown(found))


@router.post("/session", summary="Log in, in a browser", openapi_extra={"security": []})
async def begin_session(body: LoginRequest, request: Request, response: Response, services: ServicesOf) -> SessionModel:
    """Have the browser hold a cookie that stands for a token, out of reach of scripts; an earlier session of it ends.

    Requests of the browser that change something need the header `X-Tek-Request: 1` as well.
    """
    guard = services.guard
    assert isinstance(guard, TokenGuard)
    token = await guard.valid(request, body.token)
    request.state.caller = caller_of(token)
    store, name = _store(services), session_cookie(request)
    former = request.cookies.get(name)
    if former is not None:
        if not body.replace:
            _refuse_other(token, await to_thread.run_sync(store.session, former))
        await to_thread.run_sync(store.end_session, former)
    secret, lifetime_s = secrets.token_urlsafe(32), services.settings.api.session_s
    await to_thread.run_sync(store.begin_session, secret, token.token_id, lifetime_s)
    response.set_cookie(
        name,
        secret,
        max_age=lifetime_s,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https" or services.settings.api.public_url.startswith("https:"),
    )
    return SessionModel(**_shown(token))


def _refuse_other(token: ApiToken, present: ApiToken | None) -> None:
    if present is not None and present.token_id != token.token_id:
        raise Problem(
            409,
            "access.signed_in",
            f"this browser is signed in as `{present.name}`, and the token is that of `{token.name}`",
            hint="with `replace` the new session takes the place of the other",
        )


@router.delete("/session", summary="Log out", status_code=204, openapi_extra={"security": []})
async def end_session(request: Request, services: ServicesOf) -> Response:
    """End the session of the browser; without one nothing happens."""
    name = session_cookie(request)
    secret = request.cookies.get(name)
    if secret is not None:
        await to_thread.run_sync(_store(services).end_session, secret)
    response = Response(status_code=204)
    response.delete_cookie(name, path="/", httponly=True, samesite="strict")
    return response


@router.get("/tokens", summary="List the tokens")
def list_tokens(caller: Admin, services: ServicesOf) -> TokenList:
    """Return all tokens, without their secrets, which are not kept."""
    return TokenList(tokens=[TokenModel(**_shown(token)) for token in _store(services).listed()])


@router.post("/tokens", summary="Make a token", status_code=201)
def make_token(body: TokenRequest, caller: Admin, request: Request, services: ServicesOf) -> TokenMade:
    """Make a token; its text is in this answer and nowhere else."""
    made, text = new_token(
        body.name,
        body.role,
        now=time.time(),
        lifetime_s=body.expires_s,
        agents=None if body.agents is None else tuple(body.agents),
        routes=None if body.routes is None else tuple(body.routes),
    )
    _store(services).add(made)
    request.state.subject = made.token_id
    return TokenMade(token=text, **_shown(made))


@router.delete("/tokens/{token_id}", summary="Revoke a token", status_code=204)
def revoke_token(
    token_id: Annotated[str, Path(max_length=100)], caller: Admin, request: Request, services: ServicesOf
) -> Response:
    """Have a token count no more, at once, nor the sessions that were begun with it."""
    request.state.subject = token_id
    if not _store(services).remove(token_id):
        raise NotFound(f"there is no token `{token_id}`", hint="`GET /api/v1/tokens` lists them")
    return Response(status_code=204)


def _store(services: Services) -> TokenStore:
    return TokenStore(services.cluster.connection)


def _shown(token: ApiToken) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "role": token.role,
        "created_at": iso_time(token.created_at),
        "expires_at": None if token.expires_at is None else iso_time(token.expires_at),
        "agents": token.agents,
        "routes": token.routes,
    }
