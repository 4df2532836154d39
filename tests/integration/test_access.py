"""The server's users: each role can do its work with what `deploy/server/users.acl.in` allows, and nothing else."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from support.deployed import Deployed, free_port, serving
from support.forks import Fork
from support.isolation import Place, new_place
from support.tek import EXECUTABLE, start_tek
from support.waiting import wait_until

from taskexec.errors import ConnectionLost
from taskexec.store.connection import Connection
from taskexec.store.embedded import ServerProgram
from taskexec.store.told import ToldStore

pytestmark = [pytest.mark.xdist_group("access"), pytest.mark.timeout(180)]

PLAN = """id,command,depends_on,retries,retry_delay,priority
a,echo hi,,,,9
big,head -c 20000000 /dev/zero > "$TEK_OUTPUT/big",a,,,0
again,false,a,1,0.1,
after,echo never,again,,,
lost,kill -9 $PPID,,,,
long,seq 20000,,,,4
"""


class Roles:
    """A server with its users, and `tek` as one of them, each with folders of its own."""

    def __init__(self, place: Place, server: Deployed) -> None:
        self.place = place
        self.server = server
        self.log = place.folder / "roles.log"
        self.work = place.folder / "work"
        self.work.mkdir()
        (self.work / "plan.csv").write_text(PLAN)

    def environ(self, role: str) -> dict[str, str]:
        folders = {
            "XDG_STATE_HOME": str(self.place.folder / "state"),
            "XDG_CONFIG_HOME": str(self.place.folder / "cfg"),
        }
        return self.place.environ() | folders | {"TEK_REDIS_URL": self.server.url(role)}

    def start(self, role: str, *arguments: object) -> subprocess.Popen[str] | Fork:
        with self.log.open("ab") as errors:
            return start_tek([EXECUTABLE, *arguments], cwd=self.work, environ=self.environ(role), errors=errors)

    def tek(self, role: str, *arguments: object, status: int = 0) -> Any:
        process = self.start(role, *arguments, "--output", "json")
        try:
            stdout, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"{arguments} did not end; refused: {self.server.denials()}") from None
        assert process.returncode == status, (arguments, stdout, self.seen())
        return json.loads(stdout)

    def seen(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module")
def roles(server_program: ServerProgram) -> Iterator[Roles]:
    with new_place() as place, serving(server_program, place.folder, place.environ(), with_tls=False) as server:
        roles = Roles(place, server)
        classes = ("--class", "cpu", "--class", "gpu", "--class", "distributed")
        settings = ("--set", "worker.lease_s=2", "--set", "worker.reap_interval_s=0.3")
        worker = roles.start("worker", "worker", "--concurrency", 2, *classes, *settings)
        try:
            wait_until(lambda: roles.tek("submitter", "workers")["workers"], "the worker", timeout_s=40.0)
            yield roles
        finally:
            worker.terminate()
            worker.communicate(timeout=30)


def test_submitter_tells_what_only_one_of_many_tells(roles: Roles) -> None:
    connections = [Connection(roles.server.url("submitter")) for _ in range(2)]
    ours, others = (ToldStore(connection, 60) for connection in connections)

    assert [ours.claim("x", 30.0), ours.claim("x", 30.0), others.claim("x", 30.0)] == ["ours", "ours", "others"]
    ours.told("x")
    assert others.claim("x", 30.0) == "told"
    for connection in connections:
        connection.close()


def test_each_role_does_its_work_and_nothing_is_refused(roles: Roles) -> None:
    run = roles.tek("submitter", "submit", "plan.csv", "--wait", status=1)
    run_id = run["run_id"]
    assert run["counts"] == {"succeeded": 3, "failed": 2, "skipped": 1}
    roles.tek("submitter", "retry", run_id, "--wait", status=1)
    assert roles.tek("submitter", "verify", run_id)["ok"]
    roles.tek("submitter", "collect", run_id, "--set", "evidence.runs_dir=other", status=1)
    for role in ("submitter", "monitor"):
        assert roles.tek(role, "runs")["runs"][0]["run_id"] == run_id
        assert len(roles.tek(role, "events", run_id)) == 6
        assert roles.tek(role, "workers")["workers"]
        roles.tek(role, "status", run_id, status=1)
    roles.tek("submitter", "runs", "rm", run_id, "--yes")

    # a worker may not load functions, which others would then run: it sends scripts where nobody has loaded them
    assert set(roles.server.denials()) <= {"worker command function|load"}


def test_api_does_its_work_as_submitter(roles: Roles) -> None:
    port = free_port()
    token = roles.tek("submitter", "token", "new", "ci", "--role", "admin")
    api = roles.start("submitter", "api", "--port", port, "--set", "api.collect=false", "--output", "json")

    def asked(path: str, data: bytes | None = None, **headers: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data)
        for name, value in {"Authorization": f"Bearer {token['token']}", **headers}.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            return json.load(urllib.request.urlopen(request, timeout=10))
        except urllib.error.HTTPError:
            raise
        except OSError:
            return None

    def counts() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            return b'taskexec_wait_seconds_count{kind="shell"} 1.0' in page.read()

    try:
        wait_until(lambda: asked("/healthz"), "the API", timeout_s=30.0, diagnose=roles.seen)
        assert not counts()
        made = asked("/api/v1/runs", b"id,command\na,true\n", Content_Type="text/csv", Idempotency_Key="a")
        asked("/api/v1/session", json.dumps({"token": token["token"]}).encode(), Content_Type="application/json")
        (entry, *_) = asked("/api/v1/audit?kind=access&limit=5")["entries"]
        listed = asked("/api/v1/runs")["runs"]
        wait_until(counts, "the API to count how long the task waited", timeout_s=30.0, diagnose=roles.seen)
        roles.tek("submitter", "token", "revoke", token["id"])
    finally:
        api.terminate()
        api.communicate(timeout=30)

    assert entry["path"] == "/api/v1/session"
    assert made["run_id"] in {row["run_id"] for row in listed}
    assert set(roles.server.denials()) <= {"worker command function|load"}


def test_flower_sees_workers_and_tasks_as_monitor(roles: Roles) -> None:
    password = roles.work / "flower.password"
    password.write_text("only-here\n")
    port = free_port()
    flower = roles.start("monitor", "flower", "--port", port, "--password-file", password)
    credentials = base64.b64encode(b"tek:only-here").decode()

    def asked(path: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/{path}")
        request.add_header("Authorization", f"Basic {credentials}")
        try:
            return json.load(urllib.request.urlopen(request, timeout=10))
        except OSError:
            return None

    try:
        workers = wait_until(
            lambda: asked("workers?refresh=1"), "workers in Flower", timeout_s=40.0, diagnose=roles.seen
        )
        # it has workers send events some seconds after its start
        (roles.work / "small.csv").write_text("id,command\nx,true\n")
        wait_until(
            lambda: roles.tek("submitter", "submit", "small.csv") and asked("tasks"),
            "tasks in Flower",
            timeout_s=40.0,
            diagnose=roles.seen,
        )
    finally:
        flower.terminate()
        stdout, _ = flower.communicate(timeout=20)

    assert len(workers) == 1
    assert "only-here" not in stdout + roles.seen()
    # a worker sends scripts where nobody has loaded the library yet, as in the test above
    assert set(roles.server.denials()) <= {"worker command function|load"}


ANYWHERE = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("CONFIG", "GET", "*"),
    ("ACL", "LIST"),
    ("SHUTDOWN",),
    ("MONITOR",),
    ("CLIENT", "LIST"),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "LIST"),
    ("SAVE",),
    ("REPLICAOF", "NO", "ONE"),
    ("MODULE", "LIST"),
    ("GET", "somebody-elses"),
    ("SET", "somebody-elses", "1"),
    ("PUBLISH", "somebody-elses", "1"),
]
"""What no role but the admin may do."""

REFUSED = {
    "submitter": [
        ("SET", "tek:worker:w", "{}"),
        ("ZADD", "tek:workers", "1", "w"),
        ("HSET", "tek:slots", "cpu", "9"),
        ("PUBLISH", "/0.celery.pidbox", "shutdown"),
        ("EVAL", "return redis.call('SET', 'tek:worker:w', '1')", "0"),
    ],
    "worker": [
        ("SET", "tek:{r}:plan", "another"),
        ("HSET", "tek:{r}:spec", "0", "another"),
        ("HSET", "tek:{r}:policy", "0", "{}"),
        ("SET", "tek:{r}:leaves", "another"),
        ("DEL", "tek:{r}:canvas"),
        ("SET", "tek:submission:s", "r"),
        ("ZREM", "tek:runs", "r"),
        ("LPUSH", "another-queue", "m"),
        ("EVAL", "return redis.call('SET', 'somebody-elses', '1')", "0"),
    ],
    "monitor": [
        ("SET", "tek:anything", "1"),
        ("DEL", "tek:{r}:meta"),
        ("SADD", "tek:active", "r"),
        ("LPUSH", "cpu", "message"),
        ("BRPOP", "cpu", "0.01"),
        ("EXPIRE", "tek:runs", "1"),
        ("SET", "celery-task-meta-r.0", "1"),
        ("EVAL", "return redis.call('LPUSH', 'cpu', '1')", "0"),
        ("EVAL", "return redis.call('LPUSH', KEYS[1], '1')", "1", "cpu"),
        ("EVAL", "return redis.call('SET', KEYS[1], '1')", "1", "tek:anything"),
    ],
}


@pytest.mark.parametrize("role", ["submitter", "worker", "monitor"])
def test_role_is_refused_what_is_not_its_own(roles: Roles, role: str) -> None:
    connection = Connection(roles.server.url(role))
    allowed = []
    for command in (*ANYWHERE, *REFUSED[role]):
        try:
            connection.call(*command)
        except (redis.exceptions.NoPermissionError, redis.ResponseError) as error:
            if "ermission" in str(error) or "NOPERM" in str(error) or "can't access" in str(error).lower():
                continue
            raise
        allowed.append(command)
    connection.close()
    roles.server.denials()

    assert allowed == []


@pytest.mark.parametrize("who", ["", ":PASSWORD@", "default:PASSWORD@", "worker:wrong@"])
def test_nobody_enters_without_a_name_and_its_password(roles: Roles, who: str) -> None:
    user = who.replace("PASSWORD", roles.server.password("worker"))
    connection = Connection(f"redis://{user}127.0.0.1:{roles.server.plain_port}/0")

    with pytest.raises(ConnectionLost):
        connection.call("GET", "tek:active")
    connection.close()


def test_script_of_the_autoscaler_may_look_at_the_queues(roles: Roles) -> None:
    connection = Connection(roles.server.url("monitor"))
    script = "if redis.call('type', KEYS[1]).ok == 'list' then return redis.call('llen', KEYS[1]) end return 0"

    lengths = [connection.call("EVAL", script, "1", name) for name in ("cpu", "cpu\x06\x163", "gpu\x06\x169")]
    connection.close()

    assert lengths == [0, 0, 0]
