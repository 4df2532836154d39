"""The pages for browsers: shells without data, and what they are made of; what they show comes from `/api/v1`."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

__all__ = ["PAGE_HEADERS", "StaticFile", "router", "static_files"]

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every page is sent with: nothing inline, nothing from elsewhere, in no frame."""

_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_IMPORTED = re.compile(r'^(?:import|export)\b[^;"]*"\./([^"]+\.js)";', re.MULTILINE)
_FRAGMENT = ".html"
"""Shells are made of these; they are not served by themselves."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file that pages load."""

    content: bytes
    media_type: str
    tag: str
    """Its strong ETag, with the quotes."""


@cache
def static_files() -> dict[str, StaticFile]:
    """Return all files of the pages, by name."""
    found = {}
    for entry in sorted(files("taskexec.api").joinpath("static").iterdir(), key=lambda entry: entry.name):
        if entry.is_file() and not entry.name.startswith("."):
            content = entry.read_bytes()
            found[entry.name] = StaticFile(content, _media_type(entry.name), f'"{_digest(content)}"')
    return found


def _media_type(name: str) -> str:
    ending = name[name.rfind(".") :]
    return _TYPES.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@cache
def _version() -> str:
    """Return a digest of all files together: it is in their addresses, so that browsers may keep them for ever."""
    return _digest("".join(name + file.tag for name, file in static_files().items()).encode())


@cache
def _shell(name: str, title: str) -> str:
    """Return a page: the frame that all share, with the part of this one and its module."""
    parts = {file: static_files()[file].content.decode() for file in ("shell.html", f"{name}.html")}
    page = parts["shell.html"].replace("@MAIN@", parts[f"{name}.html"])
    links = (f'<link rel="modulepreload" href="@AT@/{module}" fetchpriority="low">' for module in _modules(name))
    page = page.replace("@MODULES@", "\n".join(links))
    return page.replace("@TITLE@", escape(title)).replace("@NAME@", name).replace("@AT@", f"/static/{_version()}")


def _modules(name: str) -> list[str]:
    """Return what the module of a page imports, directly or not: a browser then need not find one by the other."""
    found = [f"page-{name}.js"]
    for module in found:
        for imported in _IMPORTED.findall(static_files()[module].content.decode()):
            if imported not in found:
                found.append(imported)
    return found[1:]


def _page(name: str, title: str) -> HTMLResponse:
    return HTMLResponse(_shell(name, title), headers={**PAGE_HEADERS, "Cache-Control": _ASK_AGAIN})


@router.get("/")
def runs_page() -> Response:
    """Return the page that lists the runs."""
    return _page("runs", "Runs")


@router.get("/runs")
def runs_alias() -> Response:
    """Lead to the list of runs, where people look for it as well."""
    return RedirectResponse("/", status_code=308)


@router.get("/runs/{run}")
def run_page(run: str) -> Response:
    """Return the page of a run; whether there is such a run, its data tells."""
    return _page("run", "Run")


@router.get("/workers")
def workers_page() -> Response:
    """Return the page of the workers."""
    return _page("workers", "Workers")


@router.get("/compare/{a}/{b}")
def compare_page(a: str, b: str) -> Response:
    """Return the page that compares two runs."""
    return _page("compare", "Compare runs")


@router.get("/login")
def login_page() -> Response:
    """Return the page that takes a token."""
    return _page("login", "Sign in")


@router.get("/favicon.ico")
def favicon(request: Request) -> Response:
    """Return the sign of the pages, for browsers that ask here."""
    return _static("icon.svg", request, _ASK_AGAIN)


@router.get("/static/{name}")
async def static_file(name: str, request: Request) -> Response:
    """Return a file of the pages by its plain address; browsers ask each time whether it changed."""
    return _static(name, request, _ASK_AGAIN)


@router.get("/static/{version}/{name}")
async def versioned_file(version: str, name: str, request: Request) -> Response:
    """Return a file of the pages by the address that pages use; one of another version is not kept."""
    return _static(name, request, _FOR_EVER if version == _version() else _ASK_AGAIN)


def _static(name: str, request: Request, caching: str) -> Response:
    file = static_files().get(name)
    if file is None or name.endswith(_FRAGMENT):
        return Response("no such file\n", status_code=404, media_type="text/plain", headers=PAGE_HEADERS)
    headers = {**PAGE_HEADERS, "Cache-Control": caching, "ETag": file.tag}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
