"""What YAML means, where its values stand, and which texts are refused before they surprise or exhaust anybody."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.errors import Place
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree import yaml_text as yaml_places
from taskexec.sources.tree.node import Node, Unreadable
from taskexec.sources.tree.yaml_text import parse_yaml


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def loader(request, monkeypatch):
    """Run a test with PyYAML's parser in C, and with the one that is used where that is missing."""
    monkeypatch.setattr(yaml_places, "_LOADER", getattr(yaml, request.param))


def parse(text: str) -> Node:
    root, faults = parse_yaml(text, TextPlaces(text, "w.yaml"))
    assert faults == []
    return root


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-1.", -1.0),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("1:30", "1:30"),
        ("007", "007"),
        ("-08", "-08"),
        ("00.5", "00.5"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2024-01-31", "2024-01-31"),
        ("1.2.3", "1.2.3"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("!!int '12'", 12),
        ("!!float 1", 1.0),
        ("tRUE", "tRUE"),
        ("inf", "inf"),
        ('"\\/\\u00e9"', "/é"),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
    ],
)
def test_scalar_has_the_type_of_the_core_schema(written, value):
    found = parse(f"x: {written}").members()["x"].value

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("written", ["3.10", "1e3", "0x1F", "true"])
def test_scalar_is_known_as_it_is_written(written):
    assert parse(f"x: {written}").members()["x"].text() == written


@pytest.mark.usefixtures("loader")
def test_every_value_knows_line_and_column():
    text = "# é\r\na:\r\n  - 'x'\r\n  - {b: 😀, c: 3}\r\n"
    places = TextPlaces(text, "w")
    items = parse(text).members()["a"].items()
    inner = items[1].members()

    assert [str(places.at(node.offset)) for node in (*items, inner["b"], inner["c"])] == [
        "w:3:5",
        "w:4:5",
        "w:4:9",
        "w:4:15",
    ]
    assert str(places.at(inner["c"].key_offset)) == "w:4:12"
    assert inner["c"].path == "$.a[1].c"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: &x 1\nb: *x", {"a": 1, "b": 1}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        (
            "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne:\n  <<: [*x, *y]",
            {"a": {"b": 1}, "c": {"b": 2, "d": 3}, "e": {"b": 1, "d": 3}},
        ),
        ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
        ("&x k: *x", {"k": "k"}),
        ("'<<': 1", {"<<": 1}),
        ("1: a\ntrue: b\nnull: c\n3.10: d", {"1": "a", "true": "b", "null": "c", "3.10": "d"}),
        ("--- \na: 1\n...\n", {"a": 1}),
        ("%YAML 1.2\n---\na: 1\n", {"a": 1}),
        ("# nothing\n", None),
        ('{\n\t"a": [1,\n\t2]}', {"a": [1, 2]}),
    ],
)
def test_aliases_merge_keys_and_keys_are_read(text, value):
    assert parse(text).plain() == value


def test_alias_keeps_the_place_of_what_it_stands_for():
    text = "a: &x [1]\nb: *x"
    node = parse(text).members()["b"]

    assert (node.offset, node.key_offset, node.path) == (text.index("&x"), text.index("b"), "$.b")


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP_ALIASES = "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 50 + "*a" + "]" * 50


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a:\n\tb: 1", "workflow.yaml", 2, 1),
        ("- \t- a", "workflow.yaml", 1, 3),
        ("a: b: c", "workflow.yaml", 1, 5),
        ("a: [1, 2", "workflow.yaml", 1, 9),
        ("a: 'x", "workflow.yaml", 1, 6),
        ('a: "\\q"', "workflow.yaml", 1, 5),
        ("- a\n b: c", "workflow.yaml", 2, 3),
        ("a:\n  - b\n c: d", "workflow.yaml", 3, 2),
        ("a: %x", "workflow.yaml", 1, 4),
        ("a: @x", "workflow.yaml", 1, 4),
        ("a: `x`", "workflow.yaml", 1, 4),
        ("{a: ${{ x }}}", "workflow.yaml", 1, 6),
        ("a: *", "workflow.yaml", 1, 5),
        ("a: 1\nb", "workflow.yaml", 2, 2),
        ("a: !y!z 1", "workflow.yaml", 1, 4),
        ("k" * 2000 + ": 1", "workflow.yaml", 1, 2001),
        ("a: \x00", "workflow.character", 1, 4),
        ("a: x\x1b[0m", "workflow.character", 1, 5),
        ("a: \ud800", "workflow.character", 1, 4),
        ("a: \ufffe", "workflow.character", 1, 4),
        ('a: "\\0"', "workflow.character", 1, 4),
        ("a: !!python/object/apply:os.system [x]", "workflow.tag", 1, 4),
        ("a: !x 1", "workflow.tag", 1, 4),
        ("a: !!binary aGk=", "workflow.tag", 1, 4),
        ("!!set {a}", "workflow.tag", 1, 1),
        ("a: !!map [1]", "workflow.tag", 1, 4),
        ("a: !!str [1]", "workflow.tag", 1, 4),
        ("%TAG ! tag:x,1:\n---\na: !y 1", "workflow.tag", 3, 4),
        ("a: .nan", "workflow.number", 1, 4),
        ("a: -.INF", "workflow.number", 1, 4),
        ("a: 1e999", "workflow.number", 1, 4),
        ("a: " + "9" * 500, "workflow.number", 1, 4),
        (f"a: {2**64}", "workflow.number", 1, 4),
        (f"a: {-(2**63) - 1}", "workflow.number", 1, 4),
        ("a: 0x1ffffffffffffffff", "workflow.number", 1, 4),
        ("a: !!int x", "workflow.number", 1, 4),
        ("x: &x [*x]", "workflow.alias", 1, 8),
        ("x: &x {y: {z: *x}}", "workflow.alias", 1, 15),
        ("a: &b\n <<: *b", "workflow.alias", 2, 6),
        ("x: *y", "workflow.alias", 1, 4),
        (LAUGHS, "workflow.alias", 6, 8),
        ("[" * 101, "workflow.depth", 1, 101),
        ("- " * 101 + "x", "workflow.depth", 1, 201),
        (DEEP_ALIASES, "workflow.depth", 2, 54),
        ("a: 1\n---\nb: 2", "workflow.documents", 2, 1),
        ("? [a]\n: 1", "workflow.key", 1, 3),
        ("<<: 3", "workflow.merge", 1, 5),
        ("<<: [3]", "workflow.merge", 1, 6),
    ],
)
def test_malformed_or_dangerous_text_is_refused_at_its_place(text, code, line, column):
    with pytest.raises(Unreadable) as refused:
        parse(text)

    assert (refused.value.fault.code, refused.value.fault.places) == (code, (Place("w.yaml", line, column),))


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    ("text", "word"),
    [("a:\n\tb: 1", "spaces"), ("a: [1, 2", "bracket"), ("a: b: c", "quotes"), ("a: 'x", "close")],
)
def test_remedy_is_offered(text, word):
    with pytest.raises(Unreadable) as refused:
        parse(text)

    assert word in (refused.value.fault.hint or "")


@pytest.mark.usefixtures("loader")
def test_duplicate_key_is_a_fault_with_both_places():
    text = "a: 1\nb: {c: 1, c: 2}\na: 2"

    root, faults = parse_yaml(text, TextPlaces(text, "w"))

    assert root.plain() == {"a": 2, "b": {"c": 2}}
    assert [(fault.code, *map(str, fault.places)) for fault in faults] == [
        ("workflow.duplicate_key", "w:2:5", "w:2:11"),
        ("workflow.duplicate_key", "w:1:1", "w:3:1"),
    ]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 100_000, "{a: " * 50_000, "a: &x x\n" + "b: [" + "*x," * 300_000]
)
def test_hostile_text_is_refused_soon(text):
    started = time.monotonic()

    with pytest.raises(Unreadable):
        parse(text)

    assert time.monotonic() - started < 20


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON_VALUES)
def test_json_is_yaml(value):
    text = json.dumps(value, ensure_ascii=False, indent=1)

    assert parse(text).plain() == json.loads(text)


@settings(max_examples=400, deadline=None)
@given(
    st.text(st.sampled_from("ab1:-?{}[]&*!|>'\"%@`,#\n\t ~<") | st.characters(codec=None), max_size=60)
    | st.binary(max_size=60)
)
def test_any_text_is_read_or_refused(text):
    text = text if isinstance(text, str) else text.decode("latin-1")
    try:
        root, _ = parse_yaml(text, TextPlaces(text, "w"))
    except Unreadable:
        return

    root.plain()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: &shared 1\nb: *shred", "did you mean `shared`?"),
        ("a: *.csv", "in quotes"),
        ('a: "\\xzz"', "twice"),
        ("a: .nan", "a number"),
    ],
)
def test_remedy_fits_what_people_write(text, part):
    with pytest.raises(Unreadable) as refused:
        parse(text)

    assert part in refused.value.fault.hint
