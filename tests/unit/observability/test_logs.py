"""Log lines: their two forms, their fields, and what is kept out of them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from taskexec.domain.secrets import Redactor
from taskexec.domain.trace import trace_id_of
from taskexec.observability.logs import log_fields, start_logs

log = logging.getLogger("taskexec.test_logs")


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_line_is_an_event_with_fields(out: io.StringIO) -> None:
    start_logs("json", "info", stream=out, worker="w@h")

    log.warning("leases lapsed", extra={"lapsed": 3})

    (line,) = lines(out)
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "leases lapsed",
        "lapsed": 3,
        "worker": "w@h",
        "logger": "taskexec.test_logs",
    }


def test_lines_of_an_attempt_name_it_and_its_trace(out: io.StringIO) -> None:
    start_logs("json", "info", stream=out)

    with log_fields(run="r", task="t", attempt=2):
        logging.getLogger("celery.app.trace").warning("said by a library, %d", 5)
    log.warning("afterwards")

    inside, after = lines(out)
    assert (inside["run"], inside["task"], inside["attempt"]) == ("r", "t", 2)
    assert inside["trace_id"] == f"{trace_id_of('r'):032x}"
    assert inside["event"] == "said by a library, 5"
    assert "run" not in after


def test_what_weighs_less_is_not_written(out: io.StringIO) -> None:
    start_logs("json", "warning", stream=out)

    log.info("no")

    assert out.getvalue() == ""


def test_no_line_holds_a_secret(out: io.StringIO) -> None:
    start_logs("json", "info", stream=out, redactor=Redactor(["hunter2-hunter2"]))

    try:
        raise ValueError("hunter2-hunter2")
    except ValueError:
        log.exception("failed with %s", "hunter2-hunter2", extra={"url": "redis://u:abcdef@h", "x": "hunter2-hunter2"})

    assert "hunter2" not in out.getvalue()
    assert "abcdef" not in out.getvalue()
    assert "Traceback" in lines(out)[0]["exception"]


@pytest.mark.parametrize("text", ["PASSWORD=\nUSER=bob", 'password="', "api_key=\\\nx", 'say hunter2-"q\\uote'])
def test_line_with_a_secret_is_still_json(out: io.StringIO, text: str) -> None:
    start_logs("json", "info", stream=out, redactor=Redactor(['hunter2-"q\\uote']))

    log.warning(text, extra={"command": ["x", "--password", "topsecret"], "env": {"password": "topsecret", 1: {text}}})

    (line,) = lines(out)
    assert line["command"] == ["x", "--password", "***"]
    assert line["env"]["password"] == "***"
    assert "topsecret" not in out.getvalue()
    assert "hunter2" not in out.getvalue()
    assert line["event"] == ("say ***" if "hunter2" in text else text)


def test_people_get_one_line_without_json(out: io.StringIO) -> None:
    start_logs("human", "info", stream=out)

    with log_fields(run="r"):
        log.warning("leases lapsed", extra={"lapsed": 3})

    assert "leases lapsed" in out.getvalue()
    assert "lapsed=3" in out.getvalue()
    assert "run=r" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert "{" not in out.getvalue()


def test_second_call_replaces_the_first(out: io.StringIO) -> None:
    start_logs("human", "info", stream=out)
    start_logs("json", "info", stream=out)

    log.warning("once")

    assert len(lines(out)) == 1


def test_structlog_is_imported_for_the_first_line_only() -> None:
    program = """
import sys, logging
from taskexec.observability.logs import start_logs
start_logs("json", "warning")
before = "structlog" in sys.modules
logging.getLogger("x").warning("now")
print(before, "structlog" in sys.modules)
"""

    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert told.split() == ["False", "True"]
