"""Tests of `tek autoscale`: its classes, what it prints, whom it calls, and what Prometheus reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from taskexec.cli import autoscale as command
from taskexec.cli.autoscale import Gauges
from taskexec.cli.scaling_calls import Caller
from taskexec.cluster import autoscale as surveying
from taskexec.domain.autoscale import Wanted
from taskexec.errors import UsageError
from taskexec.settings.node_classes import read_node_classes

Tek = Callable[..., Result]

FOUND = {"cpu": Wanted(1, 3, "2 tasks wait for what they ask for"), "gpu": Wanted(2, 2, "nothing waits for more")}


@pytest.fixture
def classes(in_folder: Path) -> Path:
    path = in_folder / "nodes.yaml"
    path.write_text(
        "classes:\n"
        "  cpu: {cpus: 16, memory: 64G, min: 1, max: 20}\n"
        "  big: {cpus: 32, gpus: 4, gpu_memory: 80G, queues: [gpu, cpu], labels: [ssd], slots: 8, max: 4}\n"
    )
    return path


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every survey find the same."""
    monkeypatch.setattr(surveying, "survey", lambda *_, **__: FOUND)
    monkeypatch.setattr(command, "open_cluster", lambda *_: None)


def test_classes_are_read_in_their_order(classes: Path) -> None:
    cpu, big = read_node_classes(classes)

    assert (cpu.name, cpu.routes, cpu.least, cpu.most) == ("cpu", ("cpu",), 1, 20)
    assert (cpu.capacity.cpus, cpu.capacity.memory_mib, cpu.capacity.slots) == (16.0, 65_536, 16)
    assert (big.routes, big.capacity.slots, big.capacity.labels) == (("gpu", "cpu"), 8, frozenset({"ssd"}))
    assert [gpu.memory_mib for gpu in big.capacity.gpus] == [81_920] * 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("classes: {}", "at least one"),
        ("[", "no YAML"),
        ("classes: {cpu: 3}", "should say what"),
        ("classes: {cpu: {cpus: 0}}", "`cpus`"),
        ("classes: {cpu: {cpu: 4}}", "`cpu`"),
        ("classes: {cpu: {cpus: 4, memory: much}}", "`memory`"),
        ("classes: {fast: {cpus: 4}}", "`queues`"),
        ("classes: {cpu: {cpus: 4, min: 3, max: 2}}", "`min` of 3"),
    ],
)
def test_classes_that_cannot_be_used_are_told_with_their_file(text: str, told: str, in_folder: Path) -> None:
    path = in_folder / "nodes.yaml"
    path.write_text(text)

    with pytest.raises(UsageError) as refused:
        read_node_classes(path)

    assert told in refused.value.message
    assert refused.value.place is not None


def test_missing_file_is_told(in_folder: Path) -> None:
    with pytest.raises(UsageError):
        read_node_classes(in_folder / "none.yaml")


@pytest.mark.usefixtures("found")
def test_figures_are_printed_by_class(classes: Path, call_tek: Tek) -> None:
    result = call_tek("autoscale", "--classes", str(classes), "--output", "json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["classes"]["cpu"] == {
        "now": 1,
        "wanted": 3,
        "why": "2 tasks wait for what they ask for",
    }


@pytest.mark.usefixtures("found")
def test_figures_are_written_for_prometheus(classes: Path, in_folder: Path, call_tek: Tek) -> None:
    call_tek("autoscale", "--classes", str(classes), "--metrics-file", str(in_folder / "tek.prom"))

    lines = (in_folder / "tek.prom").read_text().splitlines()
    assert 'taskexec_nodes_wanted{class="cpu"} 3.0' in lines
    assert 'taskexec_nodes{class="gpu"} 2.0' in lines


@pytest.mark.usefixtures("found")
def test_serving_without_watching_is_refused(classes: Path, call_tek: Tek) -> None:
    assert call_tek("autoscale", "--classes", str(classes), "--metrics", "9464").exit_code == 2


@pytest.mark.usefixtures("found")
def test_command_is_called_for_what_has_changed(classes: Path, in_folder: Path, call_tek: Tek) -> None:
    path = in_folder / "called"
    program = f"import sys; open({str(path)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))"

    call_tek("autoscale", "--classes", str(classes), "--exec", f'{sys.executable} -c "{program}" {{class}}={{wanted}}')

    assert path.read_text() == "cpu=3\n"


class Calls:
    """A command that writes down how it is called, and the clock of its caller."""

    def __init__(self, path: Path, failing: str = "none") -> None:
        self.path = path
        self.now_s = 0.0
        self.caller = Caller(
            f"sh -c 'echo $0 $1 >> {path}; test $1 != {failing}' {{class}} {{wanted}}",
            repeat_s=60.0,
            clock=lambda: self.now_s,
        )

    def look(self, now: int, wanted: int) -> list[str]:
        """Let it be told of a look; return all calls so far."""
        self.caller.call({"cpu": Wanted(now, wanted, "")})
        return self.path.read_text().splitlines() if self.path.exists() else []


def test_command_is_called_again_at_once_only_for_another_figure_or_after_it_failed(in_folder: Path) -> None:
    calls = Calls(in_folder / "called", failing="4")

    for wanted in (3, 3, 4, 4, 1):
        called = calls.look(1, wanted)

    assert called == ["cpu 3", "cpu 4", "cpu 4", "cpu 1"]


def test_command_is_called_when_a_node_goes_though_the_figure_stays(in_folder: Path) -> None:
    calls = Calls(in_folder / "called")

    untouched, gone, still_gone = calls.look(2, 2), calls.look(1, 2), calls.look(1, 2)
    back, gone_again = calls.look(2, 2), calls.look(0, 2)

    assert (untouched, gone, still_gone, back) == ([], ["cpu 2"], ["cpu 2"], ["cpu 2"])
    assert gone_again == ["cpu 2", "cpu 2"]


def test_nodes_that_are_long_in_coming_are_asked_for_again_after_a_time(in_folder: Path) -> None:
    calls = Calls(in_folder / "called")
    calls.look(0, 2)

    calls.now_s = 59.0
    early = calls.look(1, 2)
    calls.now_s = 60.0
    late = calls.look(1, 2)
    calls.now_s = 119.0
    again = calls.look(1, 2)

    assert [len(called) for called in (early, late, again)] == [1, 2, 2]


def test_nothing_is_asked_for_again_once_all_are_there(in_folder: Path) -> None:
    calls = Calls(in_folder / "called")
    calls.look(0, 2)

    calls.now_s = 1000.0

    assert len(calls.look(2, 2)) == 1


def test_call_for_a_node_that_went_is_made_again_after_it_failed(in_folder: Path) -> None:
    calls = Calls(in_folder / "called", failing="2")
    calls.look(2, 2)

    for _ in range(3):
        called = calls.look(1, 2)

    assert called == ["cpu 2"] * 3


@pytest.mark.parametrize("text", ["", "a 'b"])
def test_command_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Caller(text)


def test_command_that_is_not_there_is_only_said(capsys: pytest.CaptureFixture[str]) -> None:
    Caller("/nowhere/at/all").call({"cpu": Wanted(0, 1, "")})

    assert "cannot be called" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["", "x", "0", "70000", "127.0.0.1:"])
def test_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        Gauges().serve(address)
