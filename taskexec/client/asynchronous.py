"""The same client for programs with an event loop: each call of `Client` in a thread, never in the loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from taskexec.client.sync import Client, Run
from taskexec.client.values import Change, Checked, LogChunk, RunInfo, SubmitOptions, TaskInfo, WorkerInfo
from taskexec.domain.states import RunStatus

if TYPE_CHECKING:
    from taskexec.client.builder import WorkflowBuilder
    from taskexec.plan import Plan

__all__ = ["AsyncClient", "AsyncRun"]

T = TypeVar("T")
_END: Any = object()


class _Threads:
    """The threads in which calls wait."""

    def __init__(self, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="taskexec-client")

    async def call(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Return what a function returns."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *arguments, **named))

    async def iterate(self, make: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
        """Yield what an iterator yields; it is made and asked in threads, one value at a time."""
        iterator = await self.call(make)
        try:
            while (value := await self.call(next, iterator, _END)) is not _END:
                yield value
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                await asyncio.shield(self.call(_close, close))

    def close(self) -> None:
        """End the threads as soon as nothing waits in them."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _close(close: Callable[[], None]) -> None:
    try:
        close()
    except ValueError:  # a call that was cancelled still waits in it; it ends with the connection
        return


class AsyncClient:
    """`Client` with coroutines: same arguments, same values, same errors.

    It is an asynchronous context manager. Whatever waits or iterates takes one of `most_threads` threads meanwhile;
    further calls wait for a free one.
    """

    def __init__(self, address: str | None = None, *, most_threads: int = 32, **named: Any) -> None:
        """Prepare to connect; arguments as `Client`. What it raises is raised by `async with`, or the first call."""
        self._make = partial(Client, address, **named)
        self._threads = _Threads(most_threads)
        self._made: asyncio.Task[Client] | None = None

    async def _client(self) -> Client:
        if self._made is None:
            self._made = asyncio.ensure_future(self._threads.call(self._make))
        return await asyncio.shield(self._made)

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._client()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open."""
        await self.close()

    async def close(self) -> None:
        """Close what is open; runs go on."""
        if self._made is not None:
            await self._threads.call((await self._client()).close)
        self._threads.close()

    async def check(self, plan: Plan | WorkflowBuilder | str | os.PathLike[str]) -> Checked:
        """See `Client.check`."""
        return await self._threads.call((await self._client()).check, plan)

    async def submit(
        self,
        plan: Plan | WorkflowBuilder | str | os.PathLike[str],
        options: SubmitOptions | None = None,
        **named: Any,
    ) -> AsyncRun:
        """See `Client.submit`."""
        run = await self._threads.call((await self._client()).submit, plan, options, **named)
        return AsyncRun(run, self._threads)

    async def runs(self, limit: int | None = 100) -> AsyncIterator[RunInfo]:
        """See `Client.runs`."""
        client = await self._client()
        async for info in self._threads.iterate(lambda: client.runs(limit)):
            yield info

    async def run(self, run_id: str) -> AsyncRun:
        """See `Client.run`."""
        return AsyncRun((await self._client()).run(run_id), self._threads)

    async def workers(self) -> Sequence[WorkerInfo]:
        """See `Client.workers`."""
        return await self._threads.call((await self._client()).workers)


class AsyncRun:
    """`Run` with coroutines."""

    def __init__(self, run: Run, threads: _Threads) -> None:
        self._run = run
        self._threads = threads
        self.run_id = run.run_id

    def __repr__(self) -> str:
        """Return what it is."""
        return f"AsyncRun({self.run_id!r})"

    async def info(self) -> RunInfo:
        """See `Run.info`."""
        return await self._threads.call(self._run.info)

    async def status(self) -> RunStatus:
        """See `Run.status`."""
        return (await self.info()).status

    async def wait(self, timeout_s: float | None = None) -> RunInfo:
        """See `Run.wait`."""
        return await self._threads.call(self._run.wait, timeout_s)

    async def tasks(self) -> AsyncIterator[TaskInfo]:
        """See `Run.tasks`."""
        async for info in self._threads.iterate(self._run.tasks):
            yield info

    async def task(self, task: str) -> TaskInfo:
        """See `Run.task`."""
        return await self._threads.call(self._run.task, task)

    async def results(self) -> Mapping[str, Any]:
        """See `Run.results`."""
        return await self._threads.call(self._run.results)

    async def logs(self, task: str, *, attempt: int | None = None, follow: bool = False) -> AsyncIterator[LogChunk]:
        """See `Run.logs`."""
        async for chunk in self._threads.iterate(lambda: self._run.logs(task, attempt=attempt, follow=follow)):
            yield chunk

    async def events(self, *, after: str | None = None) -> AsyncIterator[Change]:
        """See `Run.events`."""
        async for change in self._threads.iterate(lambda: self._run.events(after=after)):
            yield change

    async def read_file(self, task: str, name: str, *, attempt: int | None = None) -> bytes:
        """See `Run.read_file`."""
        return await self._threads.call(self._run.read_file, task, name, attempt=attempt)

    async def save_file(
        self, task: str, name: str, path: str | os.PathLike[str], *, attempt: int | None = None
    ) -> Path:
        """See `Run.save_file`."""
        return await self._threads.call(self._run.save_file, task, name, path, attempt=attempt)

    async def stop(self, *, kill: bool = False) -> None:
        """See `Run.stop`."""
        await self._threads.call(self._run.stop, kill=kill)

    async def retry(self, tasks: Sequence[str] | None = None) -> Sequence[str]:
        """See `Run.retry`."""
        return await self._threads.call(self._run.retry, tasks)
