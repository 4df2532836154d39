"""Asks whether what a container is for works; exit status 0 if it does. The role is the argument, or TASKEXEC_ROLE.

- `server`: the server here answers a user of its ACL file, and has read its data
- `worker`: a worker of this host is registered with the server, which lapses when it stops saying so
- `alive`: the worker's process is there, whatever became of the server: for liveness, since a restart would not help
- `flower`: Flower answers on its port, if only that it wants credentials
- `api`: the API answers, and so does the server behind it
- `client`: the server answers
"""

from __future__ import annotations

import os
import platform
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlsplit

from taskexec.cluster.joining import joined
from taskexec.cluster.places import find_url
from taskexec.errors import ConnectionLost, TekError
from taskexec.settings import load_settings
from taskexec.store.connection import Connection
from taskexec.store.workers import WorkerRegistry

TIMEOUT_S = 5.0


def ask(role: str) -> str:
    """Return what is wrong; empty when all is well."""
    if role == "alive":
        return ask_process()
    if role == "flower":
        return ask_flower()
    if role == "api":
        return ask_api()
    settings = joined(load_settings(), None)
    connection = Connection(
        at_home(find_url(settings, None)) if role == "server" else find_url(settings, None), socket_timeout_s=TIMEOUT_S
    )
    connection.ping()
    connection.call("EXISTS", "tek:active")
    if role == "worker":
        hosts = {row["host"] for row in WorkerRegistry(connection).listed()}
        return "" if platform.node() in hosts else f"no worker of {platform.node()} is registered"
    return ""


def at_home(url: str) -> str:
    """Return an address on this very machine instead of the name by which others know it."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}127.0.0.1:{parts.port or 6379}").geturl()


def ask_process() -> str:
    """Return what is wrong with the worker's processes."""
    import psutil

    commands = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return "" if any("taskexec.cluster" in command for command in commands) else "there is no process of a worker"


def ask_flower() -> str:
    """Return what is wrong with Flower."""
    port = os.environ.get("TEK_FLOWER_PORT", "5555")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=TIMEOUT_S) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
    return "" if status in {200, 401} else f"Flower answers {status}"


def ask_api() -> str:
    """Return what is wrong with the API."""
    port = os.environ.get("TEK_API_PORT", "8750")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        with error:
            status = error.code
    return "" if status == 200 else f"the API answers {status}"


def main(arguments: Sequence[str]) -> int:
    """Ask, and say what is wrong; return the exit status."""
    role = arguments[0] if arguments else os.environ.get("TASKEXEC_ROLE", "client")
    try:
        problem = ask(role)
    except ConnectionLost as error:  # its message names the address, without the password
        problem = error.message
    except (TekError, OSError) as error:
        problem = str(error)
    if problem:
        sys.stderr.write(f"{role}: {problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
