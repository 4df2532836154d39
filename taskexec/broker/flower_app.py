"""Flower, guarded: nothing of it is answered without credentials, and its events come from `RunWatch`."""

from __future__ import annotations

import hmac
import os
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from flower.app import Flower  # type: ignore[import-untyped]  # it comes without types, as those below
from flower.events import Events, EventsState  # type: ignore[import-untyped]
from flower.utils.search import TaskSearchEngine  # type: ignore[import-untyped]
from flower.views.tasks import TaskView  # type: ignore[import-untyped]
from tornado.template import Loader, Template
from tornado.web import RequestHandler

from taskexec.broker.task_events import NOBODY
from taskexec.broker.watching import RunWatch
from taskexec.domain.flower_links import flower_tasks_url, run_page_url
from taskexec.store.connection import Connection

__all__ = ["GuardedFlower", "RunEvents", "TaskPages"]

_WHOLE = ("task-received", "task-started", "task-succeeded")
"""What a success that tells of the beginning as well stands for."""
_ACTIONS = '<div class="detail-actions">'
_LINK = """<div class="detail-actions">
      {% set page = handler.application.run_page(task.uuid) %}
      {% if page %}<a class="btn btn-primary" id="run-page" href="{{ page }}" rel="noreferrer">Run page</a>{% end %}"""


class _PatientSearch(TaskSearchEngine):  # type: ignore[misc]  # Flower has no types
    """Flower's index of tasks, brought up to date when somebody searches: doing it at each event costs most of them."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: dict[str, Any] = {}

    def upsert(self, task: Any) -> None:
        """Note that a task has changed."""
        self._changed[task.uuid] = task

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        self._changed.pop(task_id, None)
        super().remove(task_id)

    def rebuild(self, tasks: Any) -> None:
        """Begin anew with some tasks."""
        self._changed.clear()
        super().rebuild(tasks)

    def search(self, *arguments: Any, **named: Any) -> Any:
        """Search among all that is known by now."""
        changed, self._changed = self._changed, {}
        for task in changed.values():
            super().upsert(task)
        return super().search(*arguments, **named)


class RunState(EventsState):  # type: ignore[misc]  # Flower has no types
    """Flower's state of tasks; what it counts of those that were told as one event is added together."""

    def __init__(self, most_tasks: int) -> None:
        """Begin; the oldest tasks go where there are more."""
        super().__init__(max_tasks_in_memory=most_tasks)
        self.search_engine = _PatientSearch()

    def take(self, events: Sequence[dict[str, Any]]) -> None:
        """Take the next events, as `TaskEvents.take_together` makes them."""
        whole: Counter[tuple[str, str]] = Counter()
        for event in events:
            if "started" in event:
                self._take_whole(event)
                whole[event["hostname"], event["name"]] += 1
            else:
                self.event(event)
        for (worker, name), count in whole.items():
            self._count_whole(worker, name, count)

    def _take_whole(self, event: dict[str, Any]) -> None:
        uuid, tasks = event["uuid"], self.tasks
        is_new = uuid not in tasks
        oldest = next(iter(tasks), None) if is_new and len(tasks) >= self.max_tasks_in_memory else None
        super(EventsState, self).event(event)  # Celery's: what Flower counts of each event is added below
        if oldest is not None and oldest not in tasks:
            self.search_engine.remove(oldest)
        self.search_engine.upsert(tasks[uuid])  # asked for as Flower does: the last one asked for stays longest
        if event["runtime"]:
            self.metrics.runtime.labels(event["hostname"], event["name"]).observe(event["runtime"])

    def _count_whole(self, worker: str, name: str, count: int) -> None:
        for kind in _WHOLE:
            self.counter[worker][kind] += count
            self.metrics.events.labels(worker, kind, name).inc(count)
        self.metrics.prefetch_time.labels(worker, name).set(0)
        self.metrics.number_of_prefetched_tasks.labels(worker, name).inc(0)  # they came and went


class RunEvents(Events):  # type: ignore[misc]  # Flower has no types
    """Flower's events, without workers that send any: its thread follows the logs of runs instead."""

    def __init__(self, connect: Callable[[], Connection], capp: Any, io_loop: Any, *, most_tasks: int) -> None:
        """Make it; `connect` gives it a connection of its own."""
        super().__init__(capp, io_loop, enable_events=False, max_tasks_in_memory=most_tasks)
        self.state: Any = RunState(most_tasks)
        self.watch = RunWatch(connect(), self._apply, most_tasks=most_tasks)

    def run(self) -> None:
        """Follow until the process ends."""
        self.watch.follow()

    def _apply(self, events: Any) -> None:
        done: Future[None] = Future()
        self.io_loop.add_callback(self._apply_here, events, done)
        done.result()

    def _apply_here(self, events: Any, done: Future[None]) -> None:
        try:
            self.state.take(events)
            self.state.workers.pop(NOBODY, None)  # it stands beside tasks that no worker had, and is none
        finally:
            done.set_result(None)


class _Denied(RequestHandler):
    """Answers whoever has no credentials, whatever is asked."""

    def check_xsrf_cookie(self) -> None:
        """Have no other reason than the one that counts."""

    def prepare(self) -> None:
        """Answer."""
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="flower"')
        self.finish("Access denied")


class _TaskPage(TaskView):  # type: ignore[misc]  # Flower has no types
    """The page of a task; the id of a run, which tasks name as their root, leads to the list of its tasks."""

    def get(self, task_id: str) -> None:
        events = self.application.events
        if task_id not in events.state.tasks.data and events.watch.knows_run(task_id):
            self.redirect(flower_tasks_url("", task_id))
            return
        super().get(task_id)


class TaskPages(Loader):
    """Flower's templates, with a link to the run page on that of a task."""

    def _create_template(self, name: str) -> Template:
        if name != "task.html":
            return super()._create_template(name)
        with open(os.path.join(self.root, name), encoding="utf-8") as file:
            return Template(file.read().replace(_ACTIONS, _LINK, 1), name=name, loader=self)


class GuardedFlower(Flower):  # type: ignore[misc]  # Flower has no types
    """Flower's application; each of its pages asks for credentials, also those that Flower leaves open."""

    def __init__(self, credentials: str, page_url: Callable[[], str | None], **arguments: Any) -> None:
        """Make it.

        Args:
            credentials: `user:password` that lets in.
            page_url: Gives the address of the API with the run pages; None while there is none.
            arguments: As Flower takes them.
        """
        self._credentials = credentials.encode()
        self._page_url = page_url
        super().__init__(**arguments)
        self.add_handlers(r".*", [(r"/task/(.+)", _TaskPage)])

    def get_handler_delegate(self, request: Any, target_class: Any, *arguments: Any, **named: Any) -> Any:
        """See `tornado.web.Application`; called for every request."""
        if self._admits(request.headers.get("Authorization", "")):
            delegate = super().get_handler_delegate(request, target_class, *arguments, **named)
        else:
            delegate = super().get_handler_delegate(request, _Denied)
        return delegate

    def _admits(self, header: str) -> bool:
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = b64decode(encoded.strip(), validate=True)
        except ValueError:
            return False
        return hmac.compare_digest(given, self._credentials)

    def log_request(self, handler: RequestHandler) -> None:
        """Log nothing of a request: addresses hold what was searched for."""

    def run_page(self, uuid: str) -> str | None:
        """Return the run page of a task, by Celery's id; None for what is no task of a run, or where no page is."""
        found, base = self.events.watch.task_of(uuid), self._page_url()
        return None if found is None or not base else run_page_url(base, *found)
