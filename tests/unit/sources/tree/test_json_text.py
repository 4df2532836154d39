"""The tree of a JSON text holds what the standard decoder reads, with places, and says what that decoder hides."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskexec.errors import Place
from taskexec.sources.text_places import TextPlaces
from taskexec.sources.tree.json_text import parse_json
from taskexec.sources.tree.node import Node, Unreadable

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=15,
)


def parse(text: str) -> Node:
    return parse_json(text, TextPlaces(text, "p.json"), code="x")[0]


def assert_is(node: Node, value: object, text: str) -> None:
    """Hold a tree against the value it should have, and each node's offset against the text."""
    assert node.plain() == value
    decoded, _ = json.JSONDecoder().raw_decode(text, node.offset)
    assert decoded == value
    if isinstance(value, dict):
        assert list(node.members()) == list(value)
        for key, member in node.members().items():
            assert json.JSONDecoder().raw_decode(text, member.key_offset)[0] == key
            assert_is(member, value[key], text)
    elif isinstance(value, list):
        for item, expected in zip(node.items(), value, strict=True):
            assert_is(item, expected, text)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_every_node_stands_where_its_value_does(value, indent, is_ascii):
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)

    assert_is(parse(text), value, text)
    assert parse(text).grown().plain() == value


@pytest.mark.parametrize("text", [' { "a" :\r\n[ 1 ,\t{ } ] , "b\\n":"" } ', "[]", " 3 ", '"\\u00e9"', "[[],[[]]]"])
def test_blanks_and_escapes_do_not_matter(text):
    assert_is(parse(text), json.loads(text), text)


def test_path_and_kind_name_a_value():
    item = parse('{"a": [1, {"b": null}]}').members()["a"].items()[1].members()["b"]

    assert (item.path, item.kind) == ("$.a[1].b", "null")


def test_number_is_known_as_it_is_written():
    items = parse("[3.10, 1e3, -0, true, null]").items()

    assert [item.text() for item in items] == ["3.10", "1e3", "-0", "true", "null"]


@pytest.mark.parametrize(
    ("text", "code", "places"),
    [
        ("", "x.json", [(1, 1)]),
        ("{", "x.json", [(1, 2), (1, 1)]),
        ('{"a": [1, 2', "x.json", [(1, 12), (1, 7)]),
        ("{'a': 1}", "x.json", [(1, 2)]),
        ('{"a": 1,}', "x.json", [(1, 8)]),
        ("[1 ,\n]", "x.json", [(1, 4)]),
        ("[1,,2]", "x.json", [(1, 4)]),
        ("// x\n[]", "x.json", [(1, 1)]),
        ("[1 /* x */]", "x.json", [(1, 4)]),
        ("{a: 1}", "x.json", [(1, 2)]),
        ("[True]", "x.json", [(1, 2)]),
        ('{"a": "b "c""}', "x.json", [(1, 11)]),
        ("[\u201cx\u201d]", "x.json", [(1, 2)]),
        ('["a', "x.json", [(1, 2)]),
        ('"a\tb"', "x.json", [(1, 3)]),
        ('"\\u12"', "x.json", [(1, 2)]),
        ("[1]]", "x.json", [(1, 4)]),
        ('{"a" 1}', "x.json", [(1, 6)]),
        ("[1\n2]", "x.json", [(2, 1)]),
        ("nul", "x.json", [(1, 1)]),
        ("01", "x.json", [(1, 2)]),
        ('"a\nb"', "x.json", [(1, 3)]),
        ('"\\q"', "x.json", [(1, 2)]),
        ("[NaN]", "x.json", [(1, 2)]),
        ('["NaN",\n -Infinity]', "x.json", [(2, 2)]),
        ("[" + "9" * 20 + "]", "x.number", [(1, 2)]),
        (f"[{2**64 - 1}, {2**64}]", "x.number", [(1, 24)]),
        (f"[{-(2**63)}, {-(2**63) - 1}]", "x.number", [(1, 24)]),
        ("[1,\n 1e400]", "x.number", [(2, 2)]),
        ("[" + "9" * 400 + ".0]", "x.number", [(1, 2)]),
        ('["\\ud800"]', "x.character", [(1, 2)]),
        ('{"\\udfff": 1}', "x.character", [(1, 2)]),
        ('["\ud800"]', "x.character", [(1, 2)]),
        ("[" * 101 + "]" * 101, "x.json", [(1, 101)]),
        ('{"a":' * 101 + "1" + "}" * 101, "x.json", [(1, 501)]),
        ("[" * 50_000 + "]" * 50_000, "x.json", [(1, 101)]),
        ("9" * 5000, "x.number", [(1, 1)]),
    ],
)
def test_malformed_text_is_refused_at_its_place(text, code, places):
    with pytest.raises(Unreadable) as refused:
        parse(text)

    fault = refused.value.fault
    assert fault.code == code
    assert fault.places == tuple(Place("p.json", *place) for place in places)
    assert fault.hint


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"a": 1,}', "remove the comma"),
        ("{'a': 1}", "double quotes"),
        ("{a: 1}", '`"a"`'),
        ("[None]", "`null`"),
        ("[1] # one", "remove what stands there"),
        ("[1, # one\n 2]", "remove the comment"),
        ('["C:\\dir"]', "twice"),
    ],
)
def test_remedy_fits_what_people_write_for_json(text, part):
    with pytest.raises(Unreadable) as refused:
        parse(text)

    assert part in refused.value.fault.hint


def test_each_duplicate_key_is_a_fault_with_both_places():
    text = '{"a": 1, "b": {"c": 1,\n"c": 2, "c": 3}, "a": 2}'

    root, faults = parse_json(text, TextPlaces(text, "p.json"), code="x")

    assert root.plain() == {"a": 2, "b": {"c": 3}}
    assert [(fault.code, *((place.line, place.column) for place in fault.places)) for fault in faults] == [
        ("x.duplicate_key", (1, 2), (2, 18)),
        ("x.duplicate_key", (1, 16), (2, 1)),
        ("x.duplicate_key", (1, 16), (2, 9)),
    ]


def test_hundred_levels_are_read():
    assert parse("[" * 100 + "]" * 100).is_list


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('{}[]",:\\ntrue1.e-') | st.characters(codec=None), max_size=40) | st.binary(max_size=40))
def test_any_text_is_read_as_the_decoder_reads_it_or_refused(text):
    text = text if isinstance(text, str) else text.decode("latin-1")
    try:
        node = parse(text)
    except Unreadable:
        return

    assert node.plain() == json.loads(text)
