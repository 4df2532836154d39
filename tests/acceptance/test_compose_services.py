"""The services of docker-compose.yml as plain processes: their commands and environment, without an engine.

Each has a host of its own (a network namespace) where that is allowed, else they share this one. Paths of containers
are mapped to folders of the test; TLS is done by a front, since the wheel's server has none.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.deployed import DEPLOY, FRONT, ROOT, free_port, load_program, server_argv
from support.hosts import EXECUTABLE, Host, network, why_not
from support.isolation import Place, new_place
from support.waiting import wait_until

from taskexec.store.embedded import ServerProgram

pytestmark = [pytest.mark.xdist_group("hosts"), pytest.mark.timeout(240)]

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
TLS_PORT = 6379
HEALTH = DEPLOY / "image" / "healthcheck.py"


def filled(text: str) -> str:
    """Return a text of the compose file with the defaults of its variables."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)


class Services:
    """The services of a compose file, each as the processes of a host."""

    def __init__(self, place: Place, hosts: Mapping[str, Host], program: ServerProgram) -> None:
        self.place = place
        self.hosts = hosts
        self.program = program
        self.secrets = place.folder / "secrets"
        self.work = place.folder / "work"
        self.work.mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.address = hosts["server"].address if hosts else "127.0.0.1"
        self.port = TLS_PORT if hosts else free_port()
        self.flower_port = free_port()
        load_program(DEPLOY / "prepare.py").prepare(self.secrets, [self.address], port=self.port)

    def environ(self, name: str) -> dict[str, str]:
        """Return the environment of a service, with our paths for those of its container."""
        state = self.place.folder / name
        for folder in ("tmp", "server", "keys"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        given = {key: self.mapped(name, filled(str(value))) for key, value in SERVICES[name]["environment"].items()}
        own = {"HOME": str(state), "XDG_STATE_HOME": str(state / "state"), "XDG_CONFIG_HOME": str(state / "config")}
        if "TEK_FLOWER_PORT" in given and not self.hosts:
            given["TEK_FLOWER_PORT"] = str(self.flower_port)
        return self.place.environ() | own | given | {"TMPDIR": str(self.place.tmp)}

    def mapped(self, name: str, text: str) -> str:
        state = self.place.folder / name
        places = {
            "/run/secrets": self.secrets,
            "/run/taskexec/keys": state / "keys",
            "/var/lib/taskexec": state,
            "/work": self.work,
        }
        for path, ours in places.items():
            text = re.sub(rf"(?<![\w.-]){path}(?=/|$)", str(ours), text)
        return text

    def start(self, name: str, argv: list[object] | None = None) -> subprocess.Popen[bytes]:
        """Start the command of a service, or another one in its place."""
        environ = self.environ(name)
        command = [self.mapped(name, filled(str(word))) for word in SERVICES[name]["command"]] if argv is None else argv
        command = [EXECUTABLE, *command[1:]] if command[0] == "tek" else command
        log = self.place.folder / f"{name}.log"
        if self.hosts:
            process = self.hosts[name].start(command, cwd=self.work, log=log, environ=environ)
        else:
            with log.open("ab") as errors:
                process = subprocess.Popen(
                    [*map(str, command)],
                    cwd=self.work,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
        self.processes.append(process)
        return process

    def start_server(self) -> None:
        assert SERVICES["server"]["command"] == ["valkey-server", "/etc/taskexec/valkey.conf"]
        data = self.place.folder / "server" / "server"
        data.mkdir(parents=True)
        plain = free_port()
        self.start("server", list(server_argv(self.program.path, self.secrets, data, port=plain, is_plain=True)))
        host = "0.0.0.0" if self.hosts else "127.0.0.1"
        self.start("server", [sys.executable, FRONT, host, self.port, plain, self.secrets])

    def is_well(self, name: str) -> bool:
        """Return what the health check of a service says."""
        assert SERVICES[name]["healthcheck"]["test"][-1] == "/opt/taskexec/bin/tek-health"
        asking = self.start(name, [sys.executable, HEALTH])
        asking.communicate(timeout=30)
        return asking.returncode == 0

    def tek(self, *arguments: object) -> tuple[int, Any]:
        """Call `tek` in the submitter, as `docker compose exec submitter tek …` does."""
        process = self.start("submitter", [EXECUTABLE, *arguments, "--output", "json"])
        stdout, _ = process.communicate(timeout=60)
        return process.returncode, json.loads(stdout or b"null")

    def await_health(self, name: str) -> None:
        wait_until(lambda: self.is_well(name), f"{name} to be well", timeout_s=60.0, diagnose=self.seen)

    def seen(self) -> dict[str, str]:
        return {path.name: path.read_text(errors="replace")[-1500:] for path in self.place.folder.glob("*.log")}

    def close(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=20)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def services(server_program: ServerProgram) -> Iterator[Services]:
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(new_place())
        hosts: dict[str, Host] = {}
        if why_not() is None:
            found = stack.enter_context(network(place, workers=2))
            names = ("server", "submitter", "worker-cpu", "flower")
            hosts = dict(zip(names, (found.server, found.submitter, *found.workers), strict=True))
        services = Services(place, hosts, server_program)
        stack.callback(services.close)
        yield services


@pytest.mark.slow
def test_services_of_the_compose_file_run_a_plan(services: Services) -> None:
    services.start_server()
    services.await_health("server")
    keys = Path(services.environ("submitter")["TEK_SECURITY_KEYS_DIR"])
    (keys / "identity.pem").write_bytes((services.secrets / "identity.pem").read_bytes())
    os.chmod(keys / "identity.pem", 0o600)
    assert not services.is_well("worker-cpu")
    worker = services.start("worker-cpu")
    services.await_health("worker-cpu")
    flower = services.start("flower")
    services.await_health("flower")
    (services.work / "plan.csv").write_text(
        "id,command,depends_on\na,echo $HOSTNAME,\nb,echo two,a\nc,echo three,a;b\n"
    )

    status, run = services.tek("submit", "plan.csv", "--wait")

    assert (status, run["counts"]) == (0, {"succeeded": 3}), services.seen()
    assert services.is_well("submitter")
    worker.terminate()
    assert worker.wait(30) == 0
    flower.terminate()
    said = json.dumps(services.seen())
    assert all(path.read_text().strip() not in said for path in services.secrets.glob("*.password"))
