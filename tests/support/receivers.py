"""Receivers on loopback: of OTLP traces, of webhooks, and of mail; each keeps what it got."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = [
    "Mailbox",
    "Received",
    "Span",
    "TraceReceiver",
    "WebReceiver",
    "mail_server",
    "trace_receiver",
    "web_receiver",
]


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


class WebReceiver:
    """Answers every POST with what `answer` says, and keeps it."""

    def __init__(self, answer: Callable[[int], int] = lambda _: 200) -> None:
        self.requests: list[Received] = []
        self.answer = answer
        self.hold: threading.Event | None = None
        """While this is set up and not yet set, nobody is answered."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.requests.append(Received(self.path, dict(self.headers), body))
                if receiver.hold is not None:
                    receiver.hold.wait(30.0)
                self.send_response(receiver.answer(len(receiver.requests)))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked did not wait
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self.hold is not None:
            self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Span:
    """One span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    is_error: bool
    attributes: dict[str, Any]
    service: str
    links: list[str] = field(default_factory=list)


class TraceReceiver(WebReceiver):
    """A receiver of OTLP over HTTP."""

    @property
    def spans(self) -> list[Span]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = []
        for request in list(self.requests):
            message = ExportTraceServiceRequest()
            message.ParseFromString(request.body)
            for resource in message.resource_spans:
                service = _attributes(resource.resource.attributes).get("service.name", "")
                for scope in resource.scope_spans:
                    found += [_span(span, service) for span in scope.spans]
        return found


def _span(span: Any, service: str) -> Span:
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        is_error=span.status.code == 2,
        attributes=_attributes(span.attributes),
        service=service,
        links=[link.trace_id.hex() for link in span.links],
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Mailbox:
    """What a mail server was given: sender, recipients, text."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], str]] = []
        self.refused: set[str] = set()
        self.url = ""


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """Give a mail server that takes everything, but not for the addresses that are refused."""
    box = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            sender, recipients = "", list[str]()
            self.say("220 ready")
            while line := self.rfile.readline().decode().strip():
                verb = line.upper()
                if verb.startswith("MAIL FROM:"):
                    sender = line[10:].split(">")[0].strip(" <")
                elif verb.startswith("RCPT TO:"):
                    recipients.append(line[8:].strip(" <>"))
                    if recipients[-1] in box.refused:
                        self.say("550 nobody here")
                        continue
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        lines.append(text)
                    box.mails.append((sender, recipients, "\n".join(lines)))
                    recipients = []
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                self.say("250 ok")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        box.url = f"smtp://127.0.0.1:{server.server_address[1]}"
        yield box
        server.shutdown()


@contextmanager
def _running(receiver: WebReceiver) -> Iterator[Any]:
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def web_receiver(answer: Callable[[int], int] = lambda _: 200) -> Any:
    """Give a receiver of webhooks, whose answer to its n-th request is `answer(n)`."""
    return _running(WebReceiver(answer))


def trace_receiver() -> Any:
    """Give a receiver of traces."""
    return _running(TraceReceiver())
