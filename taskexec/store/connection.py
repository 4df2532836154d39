"""The connection to Redis or Valkey: one place for addresses, timeouts, scripts and what is raised when it is lost."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskexec.domain.address import mask_url
from taskexec.errors import ConnectionLost, UsageError

__all__ = ["KEEPALIVE", "LOST", "Connection", "check_url", "keep_trying"]

_PASSING = ("BUSY", "MISCONF", "MASTERDOWN", "TRYAGAIN", "OOM", "LOADING", "CLUSTERDOWN", "NOREPLICAS")
"""Beginnings of answers that say that the server cannot do it now: memory or disk full, a long script, no master."""

LOST = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ReadOnlyError, redis.exceptions.BusyLoadingError)
"""What the client raises when the server is gone, stalled, loading or demoted; every script may be repeated."""

_KEEPALIVE_S = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
KEEPALIVE = {getattr(socket, name): value for name, value in _KEEPALIVE_S.items() if hasattr(socket, name)}
"""A connection on which nothing is heard for eleven seconds is given up: its server, or the way to it, has gone.

Without it one that a firewall has dropped, or that outlived its server unnoticed, is waited on for hours.
"""

T = TypeVar("T")


def check_url(url: str) -> str:
    """Return `url` if it is an address this product can use.

    Accepted: `redis://[user:password@]host[:port][/db]`, `rediss://…` (TLS) and `unix:///path/to.sock[?db=n]`.

    Raises:
        UsageError: Another scheme, or no host or path.
    """
    parts = urlsplit(url)
    if parts.scheme in {"redis", "rediss"} and parts.hostname:
        return url
    if parts.scheme == "unix" and parts.path:
        return url
    raise UsageError(
        f"`{mask_url(url)}` is not the address of a Redis server",
        hint="use redis://host:6379/0, rediss://host:6380/0 or unix:///path/to/server.sock",
    )


def keep_trying(call: Callable[[], T], *, pause_s: float = 0.05, longest_pause_s: float = 1.0) -> T:
    """Call until the server answers, for ever; `call` must be one that may be repeated."""
    while True:
        try:
            return call()
        except ConnectionLost:
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, longest_pause_s)


_NO_FUNCTION = ("Function not found", "unknown command")
"""Beginnings of answers that say that the server does not know a function, or no functions at all."""
_ALONE_S = 60.0
"""So long scripts are sent one by one before somebody may have loaded the library."""

_SHARED = ("prelude", "accounts", "fit", "placing", "gangs", "attempts")
"""What stands in front of the scripts, in this order."""


@cache
def _sources() -> tuple[str, Mapping[str, str]]:
    """Return what stands in front of the scripts, and each of them by name."""
    folder = resources.files("taskexec.store").joinpath("lua")
    found = {path.name.removesuffix(".lua"): path.read_text() for path in folder.iterdir() if path.name.endswith("lua")}
    return "\n".join(found.pop(name) for name in _SHARED), found


@cache
def _library() -> tuple[str, str]:
    """Return the name of the library that the scripts make, and its source: each script is a function of it.

    The name has a digest of the source, so that neighbouring versions can use one server.
    """
    shared, scripts = _sources()
    parts = ["local KEYS, ARGV", shared, "local scripts = {}"]  # one local for all: Lua has 200 in a chunk
    parts += [f"function scripts.{name}()\n{scripts[name]}\nend" for name in sorted(scripts)]
    library = f"tek_{hashlib.sha256(''.join(parts).encode()).hexdigest()[:16]}"
    parts += [
        f"redis.register_function('{library}_{name}', function(keys, arguments)\n"
        f"  begin_call(keys, arguments)\n  return scripts.{name}()\nend)"
        for name in sorted(scripts)
    ]
    return library, "\n".join([f"#!lua name={library}", *parts])


def _lacks_function(error: redis.RedisError) -> bool:
    """Return whether a server does not know a function, or does not let this user call it."""
    return isinstance(error, redis.exceptions.NoPermissionError) or str(error).startswith(_NO_FUNCTION)


def _alone(name: str) -> str:
    """Return a script that needs no library."""
    shared, scripts = _sources()
    begin = "local given_keys, given_arguments = KEYS, ARGV\nlocal KEYS, ARGV"
    script = f"local function script()\n{scripts[name]}\nend"  # its locals do not count with those of the others
    return f"{begin}\n{shared}\n{script}\nbegin_call(given_keys, given_arguments)\nreturn script()"


class Connection:
    """A client for one server; safe to share between threads, not between processes.

    redis-py's own retries are off: whether a call may be repeated is known to its caller. Replies are bytes.
    """

    def __init__(self, url: str, *, socket_timeout_s: float = 30.0) -> None:
        self.url = check_url(url)
        keepalive = {} if url.startswith("unix:") else {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
        self.client: Any = redis.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=socket_timeout_s,
            socket_connect_timeout=min(socket_timeout_s, 5.0),
            health_check_interval=0,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            decode_responses=False,
            **keepalive,
        )
        self.observe: Callable[[str, float], None] | None = None
        """Told of each call of a script, by name, how many seconds it took with its way."""
        self._alone: dict[str, Any] = {}
        self._alone_until = 0.0

    def script(self, name: str, prefix: str, arguments: Sequence[Any]) -> Any:
        """Run `lua/<name>.lua` for the run whose keys begin with `prefix`.

        A server that does not know the scripts, or has forgotten them, is given them. Where that is not allowed, or the
        server keeps no functions, they are sent as scripts, which takes it a little longer.

        Raises:
            ConnectionLost: No answer; the script may or may not have run, and may be called again.
        """
        if self.observe is None:
            return self._run_script(name, prefix, arguments)
        begun = time.perf_counter()
        try:
            return self._run_script(name, prefix, arguments)
        finally:
            self.observe(name, time.perf_counter() - begun)

    def _run_script(self, name: str, prefix: str, arguments: Sequence[Any]) -> Any:
        if time.monotonic() < self._alone_until:
            return self._run_alone(name, prefix, arguments)
        library, source = _library()
        command = ("FCALL", f"{library}_{name}", 1, prefix, *arguments)
        try:
            return self.client.execute_command(*command)
        except redis.RedisError as error:
            if not _lacks_function(error):
                raise self._told(error) from error
        try:
            self.client.execute_command("FUNCTION", "LOAD", source)
        except redis.ResponseError as error:
            if str(error).startswith(_PASSING):
                raise self._told(error) from error
            if "already exists" not in str(error):  # else somebody was faster
                self._alone_until = time.monotonic() + _ALONE_S
                return self._run_alone(name, prefix, arguments)
        except redis.RedisError as error:
            raise self._told(error) from error
        return self.call(*command)

    def _run_alone(self, name: str, prefix: str, arguments: Sequence[Any]) -> Any:
        registered = self._alone.get(name)
        if registered is None:
            registered = self._alone[name] = self.client.register_script(_alone(name))
        try:
            return registered(keys=[prefix], args=arguments)
        except redis.RedisError as error:
            raise self._told(error) from error

    def call(self, *command: Any) -> Any:
        """Execute one command.

        Raises:
            ConnectionLost: No answer; the command may or may not have taken effect.
        """
        try:
            return self.client.execute_command(*command)
        except redis.RedisError as error:
            raise self._told(error) from error

    def pipeline(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Execute commands in one round trip, not atomically; raises as `call` does."""
        try:
            with self.client.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(pipe.execute())
        except redis.RedisError as error:
            raise self._told(error) from error

    def ping(self) -> None:
        """Check that the server answers and is allowed to.

        Raises:
            ConnectionLost: It does not answer, or asks for other credentials.
        """
        try:
            self.client.ping()
        except redis.RedisError as error:
            raise self.lost(error) from error

    def close(self) -> None:
        """Close all sockets; the object can be used again and reconnects."""
        self.client.close()

    def _told(self, error: redis.RedisError) -> Exception:
        """Return what to raise for an error of the client: `ConnectionLost` when the call may be tried again later."""
        is_passing = isinstance(error, (*LOST, redis.exceptions.OutOfMemoryError)) or str(error).startswith(_PASSING)
        return self.lost(error) if is_passing else error

    def lost(self, cause: Exception) -> ConnectionLost:
        """Return the error that says that this server is lost."""
        return ConnectionLost(
            f"the server at {mask_url(self.url)} does not answer: {cause}",
            hint="check that it runs and is reachable, and the address in `redis.url`, TEK_REDIS_URL or --broker",
        )
