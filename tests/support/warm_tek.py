"""A process that has imported all of `tek` and forks into one for each request; a program of its own (see `tek.py`).

A fork of it is a process like any other, with arguments, folder, environment, streams and a session of its own; only
what is imported before a command begins was imported once for all.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any

MOST_BYTES = 1 << 18
"""Longest request: arguments and environment."""


def import_all() -> None:
    """Import what commands import, early or late."""
    import taskexec

    for module in pkgutil.walk_packages(taskexec.__path__, "taskexec."):
        if not module.name.startswith("taskexec.testing") and not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # of an extra that is not installed
                importlib.import_module(module.name)
    assert threading.active_count() == 1, threading.enumerate()  # no thread survives a fork


def serve(requests: socket.socket) -> bool:
    """Fork for each request, and tell how each fork ended; return True in a fork, False when no more requests come.

    A request brings a descriptor for what is told (the process id, and at its end the status as
    `os.waitstatus_to_exitcode` gives it, a line each), and those of standard output and standard error.
    """
    poller = select.poll()
    poller.register(requests, select.POLLIN)
    told: dict[int, tuple[int, int]] = {}
    while True:
        for descriptor, _ in poller.poll():
            if descriptor in told:
                poller.unregister(descriptor)
                pid, tell = told.pop(descriptor)
                os.close(descriptor)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(BrokenPipeError):
                    os.write(tell, f"{status}\n".encode())
                os.close(tell)
                continue
            data, descriptors, _, _ = socket.recv_fds(requests, MOST_BYTES, 3)
            if not data:
                return False
            request = json.loads(data)
            pid = os.fork()
            if pid == 0:
                become(request, descriptors[1:])
                requests.detach()  # it is closed there
                return True
            for stream in descriptors[1:]:
                os.close(stream)
            os.write(descriptors[0], f"{pid}\n".encode())
            watched = os.pidfd_open(pid)
            told[watched] = (pid, descriptors[0])
            poller.register(watched, select.POLLIN)


def become(request: Mapping[str, Any], streams: list[int]) -> None:
    """Be what a new process would be: in a session, a folder and an environment of its own, with nothing else open."""
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for theirs, ours in enumerate((nothing, *streams)):
        os.dup2(ours, theirs)
    os.closerange(3, 1024)
    sys.argv = list(request["arguments"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever those who started the tests made of them
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    gc.enable()


if __name__ == "__main__":
    gc.disable()
    import_all()
    gc.freeze()
    channel = socket.socket(fileno=int(sys.argv[1]))
    if serve(channel):
        from taskexec.cli.main import main

        main()
