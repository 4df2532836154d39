"""What the fields of one task mean, whichever kind of source they stand in."""

from __future__ import annotations

import json

import pytest

from taskexec.domain.resources import Route
from taskexec.plan.draft import Located
from taskexec.sources.task.fields import FieldReader
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Findings


class Read:
    """What was read of one object."""

    def __init__(self, *, is_strict: bool = False, **fields: object) -> None:
        text = json.dumps(fields)
        places = TextPlaces(text, "f")
        self.findings = Findings(places, "x")
        root, _ = parse_json(text, places, code="x")
        self.found = FieldReader(self.findings, is_strict=is_strict).read(root)
        self.faults = [fault.code for fault in self.findings.faults]
        self.warnings = [fault.code for fault in self.findings.warnings]

    def value(self, name: str) -> object:
        found = self.found[name]
        return found.value if isinstance(found, Located) else found


@pytest.mark.parametrize(
    ("field", "written", "target", "value"),
    [
        ("memory", "4G", "memory_mib", 4096),
        ("memory", 512, "memory_mib", 512),
        ("gpu_memory", "2Gi", "gpu_memory_mib", 2048),
        ("duration", "90s", "duration_s", 90.0),
        ("duration", 1.5, "duration_s", 1.5),
        ("timeout", "2h", "timeout_s", 7200.0),
        ("priority", "high", "priority", 6),
        ("priority", 12, "priority", 12),
        ("status", "done", "satisfied", True),
        ("status", "open", "satisfied", False),
        ("satisfied", True, "satisfied", True),
        ("queue", "GPU", "route", Route.GPU),
        ("queue", "Build", "lane", "Build"),
        ("layer", 2, "layer", "2"),
        ("labels", "x", "labels", ("x",)),
        ("requirements", ["R1", "R2"], "requirements", ("R1", "R2")),
        (
            "metadata",
            {"n": 1.50, "t": True, "nothing": None, "s": "x"},
            "metadata",
            {"n": "1.5", "t": "true", "s": "x"},
        ),
        ("id", "  a ", "id", "a"),
    ],
)
def test_field_becomes_the_value_of_a_draft(field, written, target, value):
    read = Read(**{field: written})

    assert (read.faults, read.warnings, list(read.found)) == ([], [], [target])
    assert read.value(target) == value


def test_only_fields_that_are_there_are_read():
    assert Read(title=None, cpus=2).found.keys() == {"cpus"}


def test_one_dependency_may_stand_without_a_list():
    assert [name.value for name in Read(depends_on=" b ").found["depends_on"]] == ["b"]


@pytest.mark.parametrize(
    ("agent", "command", "payload"),
    [
        (None, "ls -l", {"commands": [{"argv": ["ls", "-l"]}]}),
        (None, "ls | wc", {"commands": [{"argv": ["/bin/sh", "-c", "ls | wc"]}]}),
        ("shell", ["ls", "a b"], {"commands": [{"argv": ["ls", "a b"]}]}),
        ("python", 'm:f {"n": 3}', {"call": "m:f", "args": [], "kwargs": {"n": 3}}),
        ("other", " say it ", {"command": "say it"}),
    ],
)
def test_command_means_what_its_agent_makes_of_it(agent, command, payload):
    assert Read(agent=agent, command=command).value("payload") == payload


def test_agent_that_is_inherited_counts_for_the_command():
    text = '{"command": "m:f"}'
    places = TextPlaces(text, "f")
    root, _ = parse_json(text, places, code="x")

    found = FieldReader(Findings(places, "x")).read(root, inherited={"agent": Located("python", places.at(0))})

    assert found == {"payload": {"call": "m:f", "args": [], "kwargs": {}}}


def test_commands_keep_folder_and_variables():
    read = Read(commands=[{"cmd": "make x", "cwd": "sub", "env": {"A": "1"}}, {"cmd": ["ls"]}])

    assert read.value("payload") == {
        "commands": [{"argv": ["make", "x"], "cwd": "sub", "env": {"A": "1"}}, {"argv": ["ls"]}]
    }


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"command": "a", "commands": []}, "x.shape"),
        ({"command": "a", "payload": {}}, "x.shape"),
        ({"memory": "1G", "memory_mib": 5}, "x.shape"),
        ({"status": "done", "satisfied": False}, "x.shape"),
        ({"route": "cpu", "queue": "gpu"}, "x.shape"),
        ({"agent": "python", "command": "no call"}, "x.command"),
        ({"agent": "python", "command": ["m:f"]}, "x.shape"),
        ({"command": "'open"}, "x.command"),
        ({"id": "a\u0001"}, "x.character"),
        ({"queue": 3}, "x.shape"),
        ({"status": 3}, "x.shape"),
    ],
)
def test_fields_that_contradict_or_make_no_sense_are_one_fault(fields, code):
    assert Read(**fields).faults == [code]


def test_two_fields_that_say_the_same_are_no_fault():
    read = Read(memory="1G", memory_mib=1024, status="done", satisfied=True)

    assert read.faults == []


def test_lane_wins_over_another_queue_with_a_warning():
    read = Read(lane="A", queue="B")

    assert (read.value("lane"), read.warnings) == ("A", ["x.lane"])


def test_unknown_names_are_warnings_or_when_strict_faults():
    fields = {"depend_on": ["a"], "status": "purple"}

    assert (Read(**fields).faults, sorted(Read(**fields).warnings)) == ([], ["x.status", "x.unknown_field"])
    assert sorted(Read(is_strict=True, **fields).faults) == ["x.status", "x.unknown_field"]


def test_number_where_a_text_belongs_is_told_to_be_quoted():
    assert Read(depends_on=[1.5]).findings.faults[0].hint == 'put it in quotes: "1.5"'
