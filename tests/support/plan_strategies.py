"""Any plan that there can be: hostile texts and ids, every field, every kind of instructions."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from taskexec.domain.command import parse_command
from taskexec.domain.labels import label_problem
from taskexec.domain.resources import Route
from taskexec.domain.retry import RETRIED_BY_DEFAULT
from taskexec.errors import Place
from taskexec.plan import DraftAlternative, DraftTask, Instant, Located, Plan, PlanDraft, build_plan, normal_id
from taskexec.plan.paths import path_problem

__all__ = ["TEXTS", "any_plan", "bounded"]

T = TypeVar("T")

_MORE = os.environ.get("TEK_FUZZ_EXAMPLES")

_PLACE = Place("made.csv", 1, 1)
_HOSTILE = "ab;|,\"'\n\r\t #<>`*-_[]{}()!:&%@$~^=?+—–\\/é\u00a0\u200b\u202e\ufeff\x1b\x85\u2028 019."
_IN_IDS = [*";|,\"'#<>`*-_[]{}:&—–=\\é10.FS e\u0301"]
_WORDS = (
    *("null", "~", "true", "no", "Yes", "y", "n/a", "-", "—", "none", "1", "007", "0x1F", "1e3", ".inf", "12:30:00"),
    *("2024-01-01", "<<", "=", "!!str x", "&a", "*a", "{{ x }}", "${{ matrix.x }}", "- [ ] a", "[x]", "```", "<!--"),
    *("`a`", "# a", "a: b", "a #b", '["a"]', "[]", "{}", "1FS+2d", "3SS", "Queue A — One", "done", "\\u0000", "|;"),
)
"""Texts that mean something in one of the forms."""
_IDS = ("id", "tasks", "1", "2", "1FS", "none", "Queue A", "null", "true", "task-1-22", "a,b", '["a"]', "a", "A", "<<")
_KEYS = (
    *("id", "cpus", "Status", "meta:x", "depends on", "memory (GB)", "column_2", "meta:", "owner", "command", "% done"),
)
_AGENTS = ("noop", "shell", "python", "mine", "x y", "5", "null", "a:b")
_COMMANDS = ("make -j2 all", "echo hi | cat", "a 'b c'", "X=1 env", "echo `date`", "printf '%s\\n' \"a b\"", "a\tb")
_CALLS = ("m:f", "package.module:Class.make")

_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_VISIBLE = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
_NOT_IN_PATHS = dict.fromkeys((*range(0x20), 0x7F, ord("\\")))
_LANE_FORBIDDEN = dict.fromkeys((*range(1, 0x20), *range(0x7F, 0xA0), *map(ord, "/\\*?[]")))


def _at_place(value: T) -> Located[T]:
    return Located(value, _PLACE)


TEXTS = st.text(st.sampled_from(_HOSTILE), max_size=12) | st.text(_CHARACTERS, max_size=12) | st.sampled_from(_WORDS)
"""Any text without NUL; most are made of what means something in one of the forms."""


def bounded(examples: int) -> settings:
    """Return settings with the same few examples each time, or `TEK_FUZZ_EXAMPLES` fresh ones."""
    return settings(
        max_examples=int(_MORE or examples),
        derandomize=_MORE is None,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink],  # to explain takes minutes
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


def _json(leaves: int) -> st.SearchStrategy[Any]:
    numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        st.none() | st.booleans() | numbers | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=leaves,
    )


_VARIABLES = st.dictionaries(TEXTS.filter(bool), TEXTS, min_size=1, max_size=2)
_COMMAND = st.fixed_dictionaries(
    {"argv": st.lists(TEXTS, min_size=1, max_size=3)}, optional={"cwd": TEXTS, "env": _VARIABLES}
)
_ARGUMENTS = st.lists(_json(3), max_size=2)
_NAMED = st.dictionaries(TEXTS, _json(3), max_size=2)
_PAYLOADS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.sampled_from(_COMMANDS).map(lambda text: {"commands": [parse_command(text).to_json()]}),
    st.lists(_COMMAND, min_size=1, max_size=2).map(lambda commands: {"commands": commands}),
    st.fixed_dictionaries({"call": st.sampled_from(_CALLS), "args": _ARGUMENTS, "kwargs": st.just({})}),
    st.fixed_dictionaries({"call": st.sampled_from(_CALLS), "args": st.just([]), "kwargs": _NAMED}),
    st.fixed_dictionaries({"command": TEXTS}),
    st.dictionaries(TEXTS | st.sampled_from(["commands", "call", "command"]), _json(6), max_size=3),
)
"""Instructions as readers make them, and any others that a file could hold."""

_ID = st.text(st.sampled_from(_IN_IDS) | _VISIBLE, min_size=1, max_size=8).filter(normal_id)
_IDS_OF_PLAN = st.lists(_ID | st.sampled_from(_IDS), min_size=1, max_size=5, unique_by=normal_id)
_NUMBERS = st.integers(0, 1000).map(float) | st.floats(0, 1e6, allow_nan=False)
_LIST = st.lists(TEXTS, max_size=3).map(tuple)
_INSTANTS = st.integers(946_684_800_000_000, 7_258_118_300_000_000).map(lambda instant_us: instant_us / 1e6)
_FACTORS = st.floats(1, 1_000) | st.integers(1, 1_000).map(float)
_REASONS = [*RETRIED_BY_DEFAULT, "refused", "exit 1", "exit 75", "exit 255"]
_RETRY: dict[str, st.SearchStrategy[Any]] = {
    "delay_s": _NUMBERS,
    "factor": _FACTORS,
    "max_delay_s": _NUMBERS.filter(bool),
    "jitter": st.floats(0, 1),
    "on": st.lists(st.sampled_from(_REASONS), min_size=1).map(tuple),
    "memory_factor": _FACTORS,
}
_PATHS = (
    (TEXTS | st.sampled_from(["data/**", "a,b", "[ab].txt", "a b/c", '["a"]', "none", "Queue A", "a;b", "-"]))
    .map(lambda text: text.translate(_NOT_IN_PATHS))
    .filter(lambda text: path_problem(text) is None)
)
_LOCATED: dict[str, st.SearchStrategy[Any]] = {
    "title": TEXTS,
    "agent": st.sampled_from(_AGENTS) | TEXTS,
    "lane": TEXTS.map(lambda text: text.translate(_LANE_FORBIDDEN)),
    "layer": TEXTS,
    "route": st.sampled_from(list(Route)),
    "cpus": _NUMBERS,
    "memory_mib": st.integers(0, 2**40),
    "gpus": st.floats(0, 1) | st.integers(0, 100_000).map(float),
    "gpu_memory_mib": st.integers(0, 2**30),
    "disk_mib": st.integers(0, 2**40),
    "exclusive": st.booleans(),
    "packed": st.booleans(),
    "duration_s": _NUMBERS | st.just(3e9),
    "timeout_s": _NUMBERS.filter(bool) | st.just(5e-324),
    "total_timeout_s": _NUMBERS.filter(bool) | st.just(5e-324),
    "deadline_at": _INSTANTS.map(Instant),
    "retries": st.integers(0, 1_000_000),
    "priority": st.integers(0, 9),
    "satisfied": st.booleans(),
}
_PLAIN: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("labels", "acceptance_criteria", "requirements"), _LIST),
    "metadata": st.dictionaries(TEXTS | st.sampled_from(_KEYS), TEXTS, max_size=3),
    "retry": st.dictionaries(st.sampled_from([*_RETRY]), st.none(), max_size=4).flatmap(
        lambda names: st.fixed_dictionaries({name: _RETRY[name].map(_at_place) for name in names})
    ),
    **dict.fromkeys(("inputs", "outputs"), st.lists(_PATHS.map(_at_place), max_size=3).map(tuple)),
}
_LABELS = st.text(st.sampled_from("ab-=:`<*_[]{}\"'#/é") | _VISIBLE, min_size=1, max_size=5).filter(
    lambda label: label_problem(label) is None
) | st.sampled_from(["-", "none", "null", "1", "true", "zone=a", "gpus=2", '["a"]', "weight=3"])
_HAS = st.lists(_LABELS, max_size=2).map(lambda labels: tuple(_at_place(f"+{label}") for label in labels))
_HAS_NOT = st.lists(_LABELS, max_size=2).map(lambda labels: tuple(_at_place(label) for label in labels))
_ALTERNATIVE = st.sets(
    st.sampled_from(["weight", "memory_mib", "gpus", "gpu_memory_mib", "disk_mib", "exclusive", "has", "has_not"])
).flatmap(
    lambda names: st.fixed_dictionaries({"cpus": _NUMBERS.map(_at_place)} | {name: _ASKED[name] for name in names})
)
_ASKED: dict[str, st.SearchStrategy[Any]] = {
    "weight": st.floats(1e-9, 1e6).map(_at_place),
    **{
        name: _LOCATED[name].map(_at_place)
        for name in ("memory_mib", "gpus", "gpu_memory_mib", "disk_mib", "exclusive")
    },
    "has": _HAS,
    "has_not": _HAS_NOT.map(lambda labels: tuple(label for label in labels if not label.value.startswith("+"))),
}
_PLAIN |= {
    "has": _HAS,
    "has_not": _ASKED["has_not"],
    "alternatives": st.lists(_ALTERNATIVE, max_size=3).map(
        lambda options: tuple(DraftAlternative(place=_PLACE, **said) for said in options)
    ),
}
_NODES = st.integers(1, 1_024).map(_at_place)
_FIELDS = {name: values.map(_at_place) for name, values in _LOCATED.items()} | _PLAIN
_SAID = st.sets(st.sampled_from(sorted(_FIELDS)), max_size=7).map(sorted)
_BEFORE = st.sets(st.integers(0, 4), max_size=3)


@st.composite
def any_plan(draw: st.DrawFn) -> Plan:
    """Draw a plan of at most five tasks whose order in the file need not be that of their dependencies."""
    ids = draw(_IDS_OF_PLAN)
    tasks = []
    for index, name in enumerate(ids):
        before = [ids[at] for at in draw(_BEFORE) if at < index] if index else []
        fields = {field: draw(_FIELDS[field]) for field in draw(_SAID)}
        depends_on = [Located(other, _PLACE) for other in before]
        if fields.keys() & {"packed", "exclusive", "has", "alternatives"}:
            fields |= {"nodes": draw(_NODES), "agent": _at_place("shell")}
        tasks.append(DraftTask(id=_at_place(name), payload=draw(_PAYLOADS), depends_on=depends_on, **fields))
    if draw(st.booleans()):
        tasks.reverse()
    return build_plan(PlanDraft(source="made.csv", kind="csv", tasks=tasks))
