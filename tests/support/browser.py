"""A real browser on the pages of a served API; what it complains of is kept, and where it asks."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

__all__ = ["Signed", "Window", "chromium", "chromium_path", "window"]

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_TIMEOUT_MS = 15_000


def chromium_path() -> str:
    """Return the browser of this machine; without one, tests are skipped."""
    path = os.environ.get("TEK_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on PATH (TEK_CHROMIUM names one elsewhere)")
    return path


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Give a browser without windows.

    While it is there, an event loop counts as running in this thread, so it ends with the module that uses it.
    """
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Signed(Protocol):
    """An API, and a token for each role."""

    url: str
    tokens: dict[str, str]


class Window:
    """A page of a browser with a session of its own."""

    def __init__(self, served: Signed, context: BrowserContext) -> None:
        self.served = served
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(_TIMEOUT_MS)
        self.complaints: list[str] = []
        """Errors and warnings of the console, and errors that nobody caught."""
        self.foreign: list[str] = []
        """What was asked of other hosts."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._look)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _look(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != urlsplit(self.served.url).netloc:
            self.foreign.append(request.url)

    def sign_in(self, role: str = "admin") -> None:
        """Sign in by an address with a token, as `tek up --api` prints it."""
        self.page.goto(f"{self.served.url}/login#token={self.served.tokens[role]}")
        self.page.wait_for_url(f"{self.served.url}/")
        self.page.wait_for_selector("body[data-state=ready]")

    def be(self, role: str) -> None:
        """Be signed in without any page: the session is a cookie of the context."""
        answer = self.context.request.post(
            f"{self.served.url}/api/v1/session", data={"token": self.served.tokens[role]}, timeout=_TIMEOUT_MS
        )
        assert answer.ok, answer.text()

    def open(self, path: str) -> Page:
        """Open a page, and wait until it shows its data."""
        self.page.goto("about:blank")  # an address that differs in its fragment only would not be loaded
        self.page.goto(self.served.url + path)
        self.page.wait_for_selector("body[data-state=ready]")
        return self.page

    def open_run(self, run_id: str, view: str = "graph") -> Page:
        """Open the page of a run at one of its views."""
        return self.open(f"/runs/{run_id}#view={view}")


@contextlib.contextmanager
def window(browser: Browser, served: Signed, role: str | None = "admin", **options: Any) -> Iterator[Window]:
    """Give a window without a page, signed in unless `role` is None; options are those of a context.

    At the end nothing may have been complained of, and no other host asked.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
    try:
        opened = Window(served, context)
        if role is not None:
            opened.be(role)
        yield opened
        assert not opened.complaints, opened.complaints
        assert not opened.foreign, opened.foreign
    finally:
        context.close()
