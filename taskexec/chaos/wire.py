"""A wire between one worker and the server that can be cut, healed and slowed: a TCP proxy on loopback.

A cut wire does what a dead link does. Nothing is answered and nothing is reset: what is sent stays on the way until the
wire is healed, as the kernel would send it again, or for ever. Cutting needs no rights and touches nothing but this
wire's connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from taskexec.chaos.faults import Direction

__all__ = ["Wire"]

_CHUNK_BYTES = 65_536
_PATIENCE_S = 10.0

T = TypeVar("T")


class Wire:
    """One wire; `start`, then `close`. Its methods may be called from any thread, and act before they return."""

    def __init__(self, host: str, port: int) -> None:
        """Prepare a wire to a server.

        Args:
            host: The server's address.
            port: Its TCP port.
        """
        self._upstream = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="tek-wire", daemon=True)
        self._gates = {Direction.TO_SERVER: asyncio.Event(), Direction.TO_WORKER: asyncio.Event()}
        self._delay_s = 0.0
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        """The loopback port that stands for the server's, once started."""

    def start(self) -> None:
        """Listen on a free loopback port.

        Raises:
            OSError: There is none.
        """
        self._thread.start()
        self._call(self._listen())

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes in one direction at least."""
        return not all(gate.is_set() for gate in self._gates.values())

    @property
    def connections(self) -> int:
        """How many connections there are, half-open ones included."""
        return len(self._links)

    def cut(self, direction: Direction = Direction.BOTH) -> None:
        """Let nothing pass in a direction; the other one goes on as it was."""
        self._call(self._set_gates(direction, is_open=False))

    def heal(self, *, reset: bool = False) -> None:
        """Let everything pass again, what was sent meanwhile first.

        With `reset` all connections are reset instead, and what was on its way is lost, as behind a firewall that
        has forgotten them.
        """
        self._call(self._heal(reset))

    def delay(self, delay_s: float) -> None:
        """Have everything take so many seconds longer in either direction; 0 ends it."""
        self._delay_s = delay_s

    def close(self) -> None:
        """End all connections and the wire; harmless when it has ended."""
        if not self._loop.is_closed() and self._thread.is_alive():
            self._call(self._shut())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_PATIENCE_S)
        if not self._thread.is_alive() and not self._loop.is_closed():
            self._loop.close()

    def __enter__(self) -> Wire:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        await self._set_gates(Direction.BOTH, is_open=True)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set_gates(self, direction: Direction, *, is_open: bool) -> None:
        for one, gate in self._gates.items():
            if direction in {one, Direction.BOTH}:
                (gate.set if is_open else gate.clear)()

    async def _heal(self, reset: bool) -> None:
        if reset:
            await self._drop_links()
        await self._set_gates(Direction.BOTH, is_open=True)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._drop_links()

    async def _drop_links(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        with contextlib.suppress(OSError, asyncio.CancelledError), self._kept(writer):
            await self._carry(reader, writer)
        self._links.discard(link)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for gate in self._gates.values():  # a handshake needs both ways
            await _opened(gate)
        server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        with self._kept(server_writer):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, server_writer, self._gates[Direction.TO_SERVER]))
                group.create_task(self._pump(server_reader, writer, self._gates[Direction.TO_WORKER]))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        """Carry bytes one way until their sender ends; an end takes the way that the bytes take."""
        with contextlib.suppress(OSError):
            while data := await self._next(reader):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await _opened(gate)
                writer.write(data)
                await writer.drain()
        await _opened(gate)
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        return await reader.read(_CHUNK_BYTES)

    @contextlib.contextmanager
    def _kept(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


async def _opened(gate: asyncio.Event) -> None:
    while not gate.is_set():  # it may close again before who waited comes to its turn
        await gate.wait()
