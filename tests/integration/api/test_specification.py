"""The whole specification is tried with made-up requests: no server error, and every answer is one that it states.

No worker is there while commands that nobody wrote are submitted, so that none of them is ever performed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.isolation import environment, new_place
from support.live import LiveCluster, live_cluster
from support.serving import ServedApi, served_api
from support.waiting import wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("specification")]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 8
"""Requests for each operation."""
STREAM = "text/event-stream"


@pytest.fixture(scope="module")
def tried() -> Iterator[ServedApi]:
    """An API on a server that has seen a run and has no workers any more."""
    with new_place() as place, environment(place.environ()), live_cluster(place) as live:
        live.run_id = _run(live)  # type: ignore[attr-defined]
        limits = {"rate": 10**6, "failure_rate": 10**6, "idle_s": 5}
        with served_api(live, **limits) as served:
            yield served


def _run(live: LiveCluster) -> str:
    supervisor = live.start_worker(slots=2)
    tasks = [{"id": "a", "command": "echo one"}, {"id": "b", "command": "false", "depends_on": "a"}]
    run_id = live.submit(tasks)
    live.finish(run_id)
    supervisor.ask_to_stop()
    wait_until(lambda: not live.worker_names(), "the worker to leave", timeout_s=30.0)
    return run_id


def test_every_operation_answers_as_it_is_specified(tried: ServedApi) -> None:
    schema = schemathesis.openapi.from_url(f"{tried.url}/api/v1/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    failures: list[str] = []
    seen: Counter[tuple[str, int]] = Counter()
    for operation in operations:
        if STREAM in str(operation.definition.raw.get("responses")):
            continue  # streams have tests of their own, which end them
        for mode in schemathesis.GenerationMode:
            try:
                _try(operation, mode, tried, seen)
            except Unsatisfiable:
                continue  # nothing that it takes can be wrong
            except (Exception, FailureGroup) as failure:
                failures.append(f"{operation.label} ({mode.value}): {failure}")

    assert len(operations) > 15
    assert failures == [], "\n\n".join(failures)
    assert {status for _, status in seen} >= {2, 4}


def _try(operation: Any, mode: schemathesis.GenerationMode, tried: ServedApi, seen: Counter[tuple[str, int]]) -> None:
    headers = {"Authorization": f"Bearer {tried.tokens['admin']}"}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        _name_what_is_there(case, tried)
        (case.query or {}).pop("follow", None)
        answer = case.call_and_validate(base_url=tried.url, headers=headers, checks=CHECKS, timeout=30)
        seen[operation.label, answer.status_code // 100] += 1

    check()


def _name_what_is_there(case: Any, tried: ServedApi) -> None:
    """Have most requests be about the run that there is, and its tasks."""
    run_id = tried.live.run_id  # type: ignore[attr-defined]
    there = {"run": run_id, "other": run_id, "task": "b", "id": f"{run_id}:a", "attempt": 1, "name": "stdout.log"}
    for name in case.path_parameters or {}:
        if name in there and random.Random(repr(case.path_parameters)).random() < 0.7:
            case.path_parameters[name] = there[name]


def test_specification_says_what_programs_need(tried: ServedApi) -> None:
    with tried.client(None) as client:
        specification = client.get("/api/v1/openapi.json").json()
    operations = [
        (f"{method} {path}", operation)
        for path, methods in specification["paths"].items()
        for method, operation in methods.items()
    ]

    assert len(operations) > 15
    assert [name for name, operation in operations if not operation.get("summary")] == []
    assert [name for name, operation in operations if not operation.get("tags")] == []
    assert [name for name, operation in operations if "security" not in operation] == []
    assert {"token", "session"} == set(specification["components"]["securitySchemes"])
    assert "HTTPValidationError" not in str(specification)
    told = {tag["name"] for tag in specification["tags"]}
    assert {tag for _, operation in operations for tag in operation["tags"]} <= told
    made = specification["paths"]["/api/v1/runs"]["post"]["requestBody"]["content"]
    assert {"text/csv", "text/markdown", "application/yaml", "application/json", "multipart/form-data"} <= set(made)
