"""Spans on their way to an OpenTelemetry receiver: made with the times of the server, sent at once, never waited for.

What a receiver does not take in time is dropped and counted; a run neither waits for it nor fails because of it. The
SDK (extra `observability`) is imported for the first span.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskexec.domain.trace import attempt_span_id, is_sampled, root_span_id, trace_id_of, traceparent

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["SpanFacts", "TracePolicy", "Tracer", "sdk_is_there"]

log = logging.getLogger("taskexec.traces")

_QUEUE_SPANS = 4096
_BATCH_SPANS = 512
_TEXT_LIMIT = 500
"""Characters of one attribute."""
_WARN_EVERY_S = 60.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def sdk_is_there() -> bool:
    """Return whether spans can be sent: the extra `observability` is installed."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class TracePolicy:
    """Whether runs are traced, and where to."""

    endpoint: str | None = None
    """Address of the receiver; None is that of the environment."""
    ratio: float = 1.0
    """Share of the runs that are traced."""
    timeout_s: float = 2.0
    """Longest wait for one answer of the receiver."""

    @classmethod
    def of(
        cls, endpoint: str | None, sample_ratio: float | None, timeout_s: float, environ: Mapping[str, str]
    ) -> TracePolicy | None:
        """Return what settings and OpenTelemetry's own variables say; None for no traces.

        Args:
            endpoint: Address by the settings; None leaves it to the variables.
            sample_ratio: Share by the settings; None leaves it to the variables.
            timeout_s: By the settings.
            environ: Where the variables are.
        """
        if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
            return None
        if endpoint is None and not any(environ.get(name) for name in _ENDPOINTS):
            return None
        if not sdk_is_there():
            _tell_missing()
            return None
        ratio = _ratio_of(environ) if sample_ratio is None else sample_ratio
        return cls(_traces_address(endpoint) if endpoint else None, ratio, timeout_s)

    def takes(self, run_id: str) -> bool:
        """Return whether a run is traced; everybody who asks is told the same."""
        return is_sampled(trace_id_of(run_id), self.ratio)

    def parent_of(self, run_id: str, index: int, attempt: int, rank: int = 0) -> str:
        """Return the `TRACEPARENT` of the processes of an attempt."""
        span_id = attempt_span_id(run_id, index, attempt, rank)
        return traceparent(trace_id_of(run_id), span_id, sampled=self.takes(run_id))


@functools.cache
def _tell_missing() -> None:
    """Say once that nothing can be sent."""
    log.warning("traces are asked for, but the extra `observability` of taskexec is not installed")


def _traces_address(endpoint: str) -> str:
    """Return the whole address, as OTEL_EXPORTER_OTLP_ENDPOINT becomes it: a bare host gets the usual path."""
    return endpoint if endpoint.count("/") > 2 and not endpoint.endswith("/") else f"{endpoint.rstrip('/')}/v1/traces"


def _ratio_of(environ: Mapping[str, str]) -> float:
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").removeprefix("parentbased_")
    if sampler == "always_off":
        return 0.0
    try:
        return min(max(float(environ.get("OTEL_TRACES_SAMPLER_ARG", "1")), 0.0), 1.0) if "ratio" in sampler else 1.0
    except ValueError:
        return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFacts:
    """One span."""

    name: str
    run_id: str
    index: int = -1
    """Position of the task; -1 for the run as a whole."""
    attempt: int = 0
    rank: int = 0
    start_s: float
    """Server time, seconds since the epoch."""
    end_s: float
    attributes: Mapping[str, Any]
    """Texts are cut; None is left out."""
    error: str | None = None
    """Why it failed; None when it did not."""
    caused_by: str = ""
    """`TRACEPARENT` of what had it made; the span is linked with it. Empty for nothing."""


class Tracer:
    """Sends the spans of one process; `send` may be called in any thread and never waits."""

    def __init__(self, policy: TracePolicy, service: str, **attributes: str) -> None:
        """Begin with nothing sent.

        Args:
            policy: Which runs, and where to.
            service: `service.name` of the spans, unless OTEL_SERVICE_NAME says another.
            attributes: What else is said of this process.
        """
        self._policy = policy
        self._service = service
        self._attributes = attributes
        self._spans: _Maker | None = None
        self._lock = threading.Lock()
        self.observe: Callable[[int], None] | None = None
        """Told each time, in any thread, how many spans were dropped."""

    @property
    def dropped(self) -> int:
        """Spans that never arrived."""
        return 0 if self._spans is None else self._spans.queue.dropped

    def send(self, facts: SpanFacts) -> None:
        """Send a span, if its run is traced."""
        if not self._policy.takes(facts.run_id):
            return
        with self._lock:
            if self._spans is None:
                self._spans = _Maker(self._policy, self._service, self._attributes, self._drop)
            self._spans.make(facts)

    def _drop(self, count: int) -> None:
        if self.observe is not None:
            self.observe(count)

    def close(self, *, wait_s: float) -> None:
        """Send what is queued, for so many seconds at most."""
        if self._spans is not None:
            self._spans.queue.close(wait_s)


class _Queue:
    """Spans that wait to be sent, a bounded number, and the thread that sends them as soon as there are some."""

    def __init__(self, exporter: SpanExporter, tell: Callable[[int], None]) -> None:
        self._exporter = exporter
        self._tell = tell
        self._waiting: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._is_closed = self._is_busy = False
        self._warned_at = -_WARN_EVERY_S
        self.dropped = 0
        self._thread = threading.Thread(target=self._loop, name="tek-traces", daemon=True)
        self._thread.start()

    def put(self, span: ReadableSpan) -> None:
        with self._changed:
            has_room = len(self._waiting) < _QUEUE_SPANS and not self._is_closed
            if has_room:
                self._waiting.append(span)
                self._changed.notify()
        if not has_room:
            self._drop(1)

    def _drop(self, count: int) -> None:
        with self._changed:
            self.dropped += count
        self._tell(count)

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._waiting) or self._is_closed)
                batch = [self._waiting.popleft() for _ in range(min(_BATCH_SPANS, len(self._waiting)))]
                self._is_busy = bool(batch)
            if not batch:
                self._exporter.shutdown()
                return
            self._export(batch)

    def _export(self, batch: Sequence[ReadableSpan]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            is_taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # whatever an exporter does, the next batch is tried
            is_taken = False
        if not is_taken:
            self._drop(len(batch))
            if time.monotonic() - self._warned_at >= _WARN_EVERY_S:
                self._warned_at = time.monotonic()
                log.warning("spans dropped: the receiver does not take them", extra={"dropped": self.dropped})

    def close(self, wait_s: float) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting and not self._is_busy, wait_s)


class _Maker:
    """Makes spans with the ids that everybody computes alike, by OpenTelemetry's SDK."""

    def __init__(
        self, policy: TracePolicy, service: str, attributes: Mapping[str, str], drop: Callable[[int], None]
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        # it is told here, once a minute and with a count
        logging.getLogger("opentelemetry.exporter.otlp.proto.http").setLevel(logging.CRITICAL)
        self.queue = queue = _Queue(OTLPSpanExporter(endpoint=policy.endpoint, timeout=policy.timeout_s), drop)

        class Ids(IdGenerator):
            trace_id = span_id = 0

            def generate_trace_id(self) -> int:
                return self.trace_id

            def generate_span_id(self) -> int:
                return self.span_id

        class Processor(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                queue.put(span)

        named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or service, **attributes}
        self._ids = Ids()
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create(dict(named)),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(Processor())
        self._tracer = provider.get_tracer("taskexec")

    def make(self, facts: SpanFacts) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context

        self._ids.trace_id = trace_id = trace_id_of(facts.run_id)
        context = Context()
        if facts.index < 0:
            self._ids.span_id = root_span_id(facts.run_id)
        else:
            self._ids.span_id = attempt_span_id(facts.run_id, facts.index, facts.attempt, facts.rank)
            flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
            root = trace.SpanContext(trace_id, root_span_id(facts.run_id), is_remote=True, trace_flags=flags)
            context = trace.set_span_in_context(trace.NonRecordingSpan(root), context)
        span = self._tracer.start_span(
            facts.name[:_TEXT_LIMIT],
            context=context,
            kind=trace.SpanKind.INTERNAL if facts.index < 0 else trace.SpanKind.CONSUMER,
            attributes={name: _short(value) for name, value in facts.attributes.items() if value is not None},
            links=_links(facts.caused_by),
            start_time=round(facts.start_s * 1e9),
        )
        if facts.error is not None:
            span.set_status(trace.StatusCode.ERROR, facts.error[:_TEXT_LIMIT])
        span.end(round(max(facts.end_s, facts.start_s) * 1e9))


def _links(caused_by: str) -> Sequence[Any]:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not caused_by:
        return ()
    found = trace.get_current_span(TraceContextTextMapPropagator().extract({"traceparent": caused_by}))
    context = found.get_span_context()
    return (trace.Link(context),) if context.is_valid else ()


def _short(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else str(value)[:_TEXT_LIMIT]
