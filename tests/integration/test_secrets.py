"""Secrets that are planted wherever a run goes, and none of them is in anything that it leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.live import LiveCluster, make_plan
from support.receivers import trace_receiver, web_receiver
from support.waiting import wait_until

from taskexec.cluster import Cluster
from taskexec.errors import SecretExposed

Start = Callable[..., LiveCluster]

PLAIN = "wq7-plain-Zebra"
QUOTED = 'wq7 "quoted" \\ Ünicorn'
LINES = "wq7-first-line-of-it\nwq7-second-line"
PASSWORD = "wq7ServerPassword"
TOKEN = "ghp_wq7wq7wq7wq7wq7wq7wq7wq7wq7wq7wq7wq7"
SECRETS = [PLAIN, QUOTED, *LINES.splitlines(), PASSWORD, TOKEN]

STEPS = f"""
import os, sys, logging

def give():
    print("printed", os.environ["TEK_SECRET_PLAIN"])
    return {{os.environ["TEK_SECRET_QUOTED"]: [os.environ["TEK_SECRET_LINES"]], "token": {TOKEN[:9]!r} + {TOKEN[9:]!r}}}

def fail(inputs):
    raise ValueError("cannot log in with " + os.environ["TEK_SECRET_PLAIN"] + str(inputs))
"""

SCRIPT = """
printf 'wq7-pl'; sleep 0.3; printf 'ain-'; sleep 0.3; echo 'Zebra was split'
echo "$TEK_SECRET_QUOTED" "$TEK_SECRET_LINES" >&2
printf "$TEK_SECRET_PLAIN" | base64; echo "$TEK_SECRET_PLAIN" > "$TEK_OUTPUT/config.txt"
echo "$TEK_SECRET_PLAIN" > made.txt
echo 'redis://user:wq7Server''Password@host/0'
echo "{\\"$TEK_SECRET_PLAIN\\": 1}" > "$TEK_RESULT"
echo ::progress 0.5 "$TEK_SECRET_PLAIN"
"""

LONG = """
head -c 65530 /dev/zero | tr '\\0' x; echo "$TEK_SECRET_PLAIN"
i=0; while [ $i -lt 4000 ]; do echo "line $i of many with $TEK_SECRET_PLAIN in it"; i=$((i+1)); done
"""


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def stored_in(live: LiveCluster) -> bytes:
    """Return all that the server holds, key by key."""
    call = live.cluster.connection.call
    keys = call("KEYS", "*")
    parts = []
    for key in keys:
        kind = call("TYPE", key)
        kind = kind.decode() if isinstance(kind, bytes) else kind
        read = {
            "string": ("GET", key),
            "hash": ("HGETALL", key),
            "list": ("LRANGE", key, 0, -1),
            "set": ("SMEMBERS", key),
            "zset": ("ZRANGE", key, 0, -1),
            "stream": ("XRANGE", key, "-", "+"),
        }[kind]
        parts.append(repr((key, call(*read))).encode())
    return b"\n".join(parts)


def forms(secret: str) -> list[bytes]:
    return [secret.encode(), json.dumps(secret)[1:-1].encode(), repr(secret.encode())[2:-1].encode()]


def test_no_planted_secret_is_in_anything_that_a_run_leaves(fresh: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with web_receiver() as hook, trace_receiver() as traces:
        live = fresh(
            log__level="debug", notify__targets=hook.url, trace__endpoint=traces.url, evidence__output_limit_mib=8
        )
        for name, value in {"PLAIN": PLAIN, "QUOTED": QUOTED, "LINES": LINES}.items():
            monkeypatch.setenv(f"TEK_SECRET_{name}", value)
        live.cluster.connection.call("CONFIG", "SET", "requirepass", PASSWORD)
        socket = live.server.url.removeprefix("unix://")
        live.cluster = Cluster(f"unix://:{PASSWORD}@{socket}", live.settings)
        live.store = live.cluster.runs
        (live.project / "steps.py").write_text(STEPS)
        (live.project / "script.sh").write_text(SCRIPT)
        (live.project / "long.sh").write_text(LONG)
        live.start_worker(slots=2)

        home = live.carry_out(
            [
                {"id": "script", "command": "sh script.sh", "outputs": "made.txt"},
                {"id": "long", "command": "sh long.sh"},
                {"id": "argument", "command": 'sh -c "exit 3" "$TEK_SECRET_PLAIN"'},
                {"id": "missing", "command": '"no-such-$TEK_SECRET_PLAIN"'},
                {"id": "give", "agent": "python", "command": "steps:give"},
                {"id": "fail", "agent": "python", "command": "steps:fail", "depends_on": "give;script"},
            ]
        )

        wait_until(lambda: len(hook.requests) >= 4, "the notifications", diagnose=lambda: hook.requests)
        wait_until(lambda: len(traces.spans) >= 7, "the spans", diagnose=lambda: traces.spans)
        left = everything_below(live.place.folder)
        for name in ("steps.py", "script.sh", "long.sh", "made.txt"):
            left.pop(str(live.project / name))
        left = {path: data for path, data in left.items() if not path.endswith(".pyc")}
        left |= {"redis": stored_in(live)}
        left |= {f"{request.path} {number}": request.body for number, request in enumerate(hook.requests)}
        left |= {f"trace {number}": request.body for number, request in enumerate(traces.requests)}
    found = [
        (path, form) for path, data in left.items() for secret in SECRETS for form in forms(secret) if form in data
    ]
    assert found == []
    assert home.stdout("script").splitlines()[0] == "*** was split"
    assert home.stdout("long").count("***") == 4001
    assert home.record("give")["result"] == {"***": ["***"], "token": "***"}
    assert home.results["fail"]["error"].startswith("`steps:fail`: ValueError: cannot log in with ***")
    assert (home.attempt("script") / "files" / "config.txt").read_text() == "*" * len(PLAIN) + "\n"
    assert (live.project / "made.txt").read_text() == PLAIN + "\n"


def test_digests_are_those_of_what_is_kept(fresh: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    live = fresh()
    monkeypatch.setenv("TEK_SECRET_PLAIN", PLAIN)
    live.start_worker(slots=1)

    home = live.carry_out(
        [{"id": "a", "command": 'echo "$TEK_SECRET_PLAIN"; echo "$TEK_SECRET_PLAIN" > $TEK_OUTPUT/f'}]
    )

    for name, account in home.record("a")["files"].items():
        data = (home.attempt("a") / name).read_bytes()
        assert (account["bytes"], account["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert account.get("redacted", 0) == (0 if name == "stderr.log" else 1)


def test_tasks_get_the_secrets_of_their_worker_and_nothing_else_of_its_settings(
    fresh: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = fresh()
    monkeypatch.setenv("TEK_SECRET_PLAIN", PLAIN)
    monkeypatch.setenv("TEK_REDIS_URL", "redis://elsewhere")
    live.start_worker(slots=1)

    home = live.carry_out([{"id": "a", "command": 'echo "${#TEK_SECRET_PLAIN} ${TEK_REDIS_URL:-none}"'}])

    assert home.stdout("a") == f"{len(PLAIN)} none\n"


def test_plan_that_holds_the_value_of_a_secret_is_refused(live: LiveCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEK_SECRET_PLAIN", PLAIN)
    runs = list(live.settings.evidence.runs_dir.glob("*"))

    with pytest.raises(SecretExposed) as refused:
        live.submit(make_plan([{"id": "a", "command": f"login {PLAIN}"}]))

    assert refused.value.variable == "TEK_SECRET_PLAIN"
    assert PLAIN not in refused.value.message
    assert list(live.settings.evidence.runs_dir.glob("*")) == runs


def test_binary_output_without_secrets_is_kept_byte_for_byte(
    fresh: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "data").write_bytes(data)
    live = fresh()
    monkeypatch.setenv("TEK_SECRET_PLAIN", PLAIN)
    live.start_worker(slots=1)

    home = live.carry_out([{"id": "a", "command": f"cat {tmp_path}/data; cp {tmp_path}/data $TEK_OUTPUT/copy"}])

    assert (home.attempt("a") / "stdout.log").read_bytes() == data
    assert (home.attempt("a") / "files" / "copy").read_bytes() == data
