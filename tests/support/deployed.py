"""What `deploy/` describes, as plain processes: its secrets, and its server with users and TLS."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

from support.waiting import wait_until

from taskexec.store.connection import Connection
from taskexec.store.embedded import ServerProgram

__all__ = [
    "DEPLOY",
    "FRONT",
    "ROOT",
    "Deployed",
    "Starter",
    "answers",
    "free_port",
    "load_program",
    "server_argv",
    "serving",
    "tls_program",
]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FRONT = Path(__file__).with_name("tls_front.py")

Starter = Callable[[Sequence[object]], "subprocess.Popen[bytes]"]
"""Starts a program where the server is to be."""


def load_program(path: Path) -> ModuleType:
    """Return a program of `deploy/` as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def has_tls(program: Path) -> bool:
    """Return whether a server program was built with TLS: one that was not refuses the option."""
    tried = subprocess.run(
        [program, "--port", "0", "--tls-port", "1", "--tls-cert-file", "/nowhere", "--save", ""],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return "Failed finding TLS support" not in tried.stdout and "Bad directive" not in tried.stderr


def server_argv(program: Path, secrets: Path, data: Path, *, port: int, is_plain: bool) -> list[str]:
    """Return the command of the server with the configuration of `deploy/server`, its paths mapped to ours.

    A plain one has no TLS and listens on loopback only; everything else is as deployed.
    """
    text = (DEPLOY / "server" / "valkey.conf").read_text()
    text = text.replace("/run/secrets", str(secrets)).replace("/var/lib/taskexec/server", str(data))
    lines = [line for line in text.splitlines() if not (is_plain and line.startswith(("tls-", "port ", "bind ")))]
    path = data / "valkey.conf"
    path.write_text("\n".join(lines) + "\n")
    options = ["--bind", "127.0.0.1", "--port", str(port)] if is_plain else ["--tls-port", str(port)]
    return [str(program), str(path), *options]


class Deployed:
    """A server with the users of `deploy/server`, and what each role needs to reach it."""

    def __init__(self, secrets: Path, port: int, plain_port: int) -> None:
        self.secrets = secrets
        self.port = port
        self.plain_port = plain_port

    def join(self, role: str) -> str:
        return f"@{self.secrets / f'{role}.join'}"

    def password(self, role: str) -> str:
        return (self.secrets / f"{role}.password").read_text().strip()

    def url(self, role: str) -> str:
        """Return a role's address without TLS."""
        return f"redis://{role}:{self.password(role)}@127.0.0.1:{self.plain_port}/0"

    def denials(self) -> list[str]:
        """Return what was refused to whom, once each; asking forgets it."""
        admin = Connection(self.url("admin"))
        entries = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in admin.call("ACL", "LOG", 128)]
        admin.call("ACL", "LOG", "RESET")
        admin.close()
        names = (b"username", b"reason", b"object")
        return sorted({" ".join(entry[name].decode() for name in names) for entry in entries})


def starter(folder: Path, log: Path, environ: dict[str, str]) -> Starter:
    """Return what starts programs on this machine."""

    def start(argv: Sequence[object]) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [*map(str, argv)],
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    return start


@contextlib.contextmanager
def serving(
    program: ServerProgram, folder: Path, environ: dict[str, str], *, with_tls: bool, native: Path | None = None
) -> Iterator[Deployed]:
    """Give a running server of `deploy/server` on loopback.

    TLS is done by `native`, a server program that has it, else by a front before the other program.
    """
    secrets, data = folder / "secrets", folder / "server"
    data.mkdir()
    port = free_port()
    load_program(DEPLOY / "prepare.py").prepare(secrets, ["127.0.0.1"], port=port, with_tls=with_tls)
    start = starter(folder, folder / "server.log", environ)
    plain_port = free_port() if with_tls and native is None else port
    if native is not None:
        processes = [start(server_argv(native, secrets, data, port=port, is_plain=False))]
    else:
        processes = [start(server_argv(program.path, secrets, data, port=plain_port, is_plain=True))]
        if with_tls:
            processes.append(start([sys.executable, FRONT, "127.0.0.1", port, plain_port, secrets]))
    try:
        for number in {port, plain_port}:
            wait_until(lambda number=number: answers(number), "the server", diagnose=(folder / "server.log").read_text)
        yield Deployed(secrets, port, plain_port)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(10)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def tls_program() -> Path | None:
    """Return a server program on PATH that was built with TLS; None when there is none."""
    extra = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name, path=extra)
        if found and has_tls(Path(found)):
            return Path(found)
    return None
