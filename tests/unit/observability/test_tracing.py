"""Which runs are traced and where to, as settings and OpenTelemetry's own variables say."""

from __future__ import annotations

import pytest

from taskexec.observability.tracing import SpanFacts, TracePolicy, Tracer


def policy(
    endpoint: str | None = None, ratio: float | None = None, environ: dict[str, str] | None = None
) -> TracePolicy | None:
    return TracePolicy.of(endpoint, ratio, 1.0, environ or {})


def test_without_an_address_nothing_is_traced() -> None:
    assert policy() is None
    assert policy(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://h:4318", "http://h:4318/v1/traces"),
        ("http://h:4318/", "http://h:4318/v1/traces"),
        ("https://h/otlp/v1/traces", "https://h/otlp/v1/traces"),
    ],
)
def test_bare_address_gets_the_usual_path(endpoint: str, expected: str) -> None:
    found = policy(endpoint)

    assert found is not None
    assert found.endpoint == expected


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_variables_of_opentelemetry_name_the_address(name: str) -> None:
    found = policy(environ={name: "http://h:4318"})

    assert found is not None
    assert found.endpoint is None  # the exporter reads it by itself


@pytest.mark.parametrize("variable", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_variables_of_opentelemetry_switch_it_off(variable: dict[str, str]) -> None:
    assert policy("http://h", environ=variable) is None


@pytest.mark.parametrize(
    ("ratio", "environ", "expected"),
    [
        (None, {}, 1.0),
        (0.25, {"OTEL_TRACES_SAMPLER": "always_off"}, 0.25),
        (None, {"OTEL_TRACES_SAMPLER": "always_off"}, 0.0),
        (None, {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.5),
        (None, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"}, 1.0),
        (None, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"}, 1.0),
    ],
)
def test_share_of_the_runs(ratio: float | None, environ: dict[str, str], expected: float) -> None:
    found = policy("http://h", ratio, environ)

    assert found is not None
    assert found.ratio == expected


def test_what_nobody_takes_is_counted() -> None:
    tracer, told = Tracer(TracePolicy("http://127.0.0.1:9/v1/traces", timeout_s=0.2), "test"), list[int]()
    tracer.observe = told.append
    for index in range(3):
        tracer.send(SpanFacts(name="a", run_id="r", index=index, attempt=1, start_s=1.0, end_s=2.0, attributes={}))

    tracer.close(wait_s=10.0)

    assert tracer.dropped == sum(told) == 3
