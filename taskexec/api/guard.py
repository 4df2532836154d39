"""Who may enter: tokens, sessions of browsers, roles, and how often each may call.

Programs send `Authorization: Bearer tek_…`. A browser that has logged in sends the cookie `tek_session_…`; what it
changes needs the header `X-Tek-Request: 1` as well, which no page of another origin can set. A token counts until it is
revoked or expires, and is looked up with each request. The name of the cookie ends in the port that the browser asked,
since browsers keep cookies by host only: two APIs of one host do not end each other's sessions.

Limits are kept in the memory of the process, as moving windows of one minute: one for each token, and one for each
address that shows tokens that do not count. The latter never keeps a valid token of that address out.
"""

from __future__ import annotations

import time

from anyio import to_thread
from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from taskexec.api.access import Caller, Role
from taskexec.api.problems import Problem
from taskexec.domain.api_token import ApiToken, parts_of
from taskexec.settings import ApiSettings
from taskexec.store.tokens import TokenStore

__all__ = ["CSRF_HEADER", "SESSION_COOKIE", "TokenGuard", "address_of", "caller_of", "session_cookie"]

SESSION_COOKIE = "tek_session"
"""How the name of the cookie begins that holds the secret of a session."""
CSRF_HEADER = "x-tek-request"
"""Header without which a browser changes nothing."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER = "bearer "
_ASK = {"WWW-Authenticate": 'Bearer realm="taskexec"'}
_FAILED = {"WWW-Authenticate": 'Bearer realm="taskexec", error="invalid_token"'}


class TokenGuard:
    """Admits whoever has a token; the limits are those of one process."""

    def __init__(self, tokens: TokenStore, settings: ApiSettings) -> None:
        self._tokens = tokens
        self._windows = MovingWindowRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(settings.rate, namespace="token")
        self._failures = RateLimitItemPerMinute(settings.failure_rate, namespace="address")

    async def admit(self, request: Request, role: Role) -> Caller:
        """Return who makes a request.

        Raises:
            Problem: They have no valid token (401), not the role (403), or call too often (429).
        """
        token = await self.identify(request)
        caller = caller_of(token)
        request.state.caller = caller
        if caller.role < role:
            raise Problem(
                403,
                "access.role",
                f"token `{caller.name}` is for a {caller.role.name.lower()}, and this is for a {role.name.lower()}",
                hint=f"`tek token new NAME --role {role.name.lower()}` makes one that may",
            )
        return caller

    async def identify(self, request: Request) -> ApiToken:
        """Return the token of a request, whatever its role.

        Raises:
            Problem: There is none that counts (401), the header of a browser is missing (403), or it is used, or
                wrong ones are sent, too often (429).
        """
        known = getattr(request.state, "token", None)
        if isinstance(known, ApiToken):  # the door has let this request in
            return known
        header = request.headers.get("authorization")
        if header is not None:
            token = await self.valid(request, header[len(_BEARER) :] if header.lower().startswith(_BEARER) else "")
        else:
            token = await self._of_session(request, address_of(request))
            self._count(token)
        request.state.token = token
        return token

    async def valid(self, request: Request, text: str) -> ApiToken:
        """Return the token of a text; a wrong one counts against the address it comes from.

        Raises:
            Problem: It is none that counts (401), or it is used, or wrong ones are sent, too often (429).
        """
        address = address_of(request)
        parts = parts_of(text.strip())
        token = None if parts is None else await to_thread.run_sync(self._tokens.find, parts[0])
        if token is None or parts is None or not token.has_secret(parts[1]):
            raise self._fail(address, "access.token", "the token is not known", "it was mistyped, or revoked")
        self._count(self._fresh(token, address))
        return token

    async def still_counts(self, request: Request) -> bool:
        """See `Guard.still_counts`."""
        known = getattr(request.state, "token", None)
        if not isinstance(known, ApiToken):
            return True  # it was let in without one
        secret = None if "authorization" in request.headers else request.cookies.get(session_cookie(request))
        if secret is not None:
            token = await to_thread.run_sync(self._tokens.session, secret)
        else:
            token = await to_thread.run_sync(self._tokens.find, known.token_id)
        return token is not None and not _has_expired(token)

    async def _of_session(self, request: Request, address: str) -> ApiToken:
        secret = request.cookies.get(session_cookie(request))
        if secret is None:
            hint = "send `Authorization: Bearer tek_…`; `tek token new` makes a token, and /login takes it in a browser"
            # no failure: a page that is opened before its reader has logged in asks without one
            raise Problem(401, "access.token", "a token is needed", hint=hint, headers=_ASK)
        token = await to_thread.run_sync(self._tokens.session, secret)
        if token is None:
            raise self._fail(address, "access.session", "the session has ended", "log in again")
        if request.method not in _SAFE_METHODS and request.headers.get(CSRF_HEADER) != "1":
            raise Problem(
                403,
                "access.csrf",
                "a browser's request that changes something needs the header `X-Tek-Request: 1`",
                hint="programs send their token in the header `Authorization` instead of the cookie",
            )
        return self._fresh(token, address)

    def _fresh(self, token: ApiToken, address: str) -> ApiToken:
        if _has_expired(token):
            hint = "`tek token new` makes another"
            raise self._fail(address, "access.expired", f"token `{token.name}` has expired", hint)
        return token

    def _count(self, token: ApiToken) -> None:
        if not self._windows.hit(self._rate, token.token_id):
            raise _too_often(self._wait_s(self._rate, token.token_id), f"token `{token.name}`", self._rate.amount)

    def _fail(self, address: str, code: str, detail: str, hint: str) -> Problem:
        if not self._windows.hit(self._failures, address):
            return _too_often(self._wait_s(self._failures, address), "this address", self._failures.amount)
        return Problem(401, code, detail, hint=hint, headers=_FAILED)

    def _wait_s(self, limit: RateLimitItemPerMinute, key: str) -> int:
        return max(1, int(self._windows.get_window_stats(limit, key).reset_time - time.time()) + 1)


def _has_expired(token: ApiToken) -> bool:
    return token.expires_at is not None and token.expires_at <= time.time()


def caller_of(token: ApiToken) -> Caller:
    """Return whom a token stands for."""
    agents = None if token.agents is None else frozenset(token.agents)
    routes = None if token.routes is None else frozenset(token.routes)
    return Caller(token.token_id, token.name, Role[token.role.upper()], agents, routes)


def address_of(request: Request) -> str:
    """Return the address of whoever makes a request; behind a proxy it is the proxy's."""
    return request.client.host if request.client is not None else "local"


def session_cookie(request: Request) -> str:
    """Return the name of the cookie of sessions at the address that a browser asked."""
    port = request.headers.get("host", "").rpartition(":")[2]
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        port = "443" if request.url.scheme == "https" else "80"
    return f"{SESSION_COOKIE}_{port}"


def _too_often(wait_s: int, who: str, most: int) -> Problem:
    return Problem(
        429,
        "rate.limit",
        f"{who} made more than {most:,} such requests in a minute",
        hint=f"try again in {wait_s} s",
        headers={"Retry-After": str(wait_s)},
    )
