"""Lists that stand in one text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.sources.values.lists import NONE_WORDS, json_list, split_texts, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", ["a"]),
        ("a;b", ["a", "b"]),
        ("a, b|c", ["a", "b", "c"]),
        ("a\r\nb\nc", ["a", "b", "c"]),
        (" a b ; c ", ["a b", "c"]),
        (";;a;;", ["a"]),
        ('["a;b", " c"]', ["a;b", " c"]),
        ("[a]", ["a"]),
        ('["a"', ['["a"']),
    ],
)
def test_words_stand_between_separators(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One, two; and three|;Four", ["One, two; and three", "Four"]),
        ("One; with this\nTwo | with that", ["One; with this", "Two | with that"]),
        ("One; two|Three", ["One; two", "Three"]),
        ("One, and;Two", ["One, and", "Two"]),
        (" One, and two ", ["One, and two"]),
        ('["One; two", "Three"]', ["One; two", "Three"]),
    ],
)
def test_sentences_stand_between_the_widest_separator(text: str, found: list[str]) -> None:
    assert split_texts(text) == found


@pytest.mark.parametrize("text", ["", " \n", "None", " N/A ", "(NULL)", "—", "keine", "[]", *sorted(NONE_WORDS)])
def test_word_for_nothing_is_an_empty_list(text: str) -> None:
    assert split_words(text) == split_texts(text) == []


@pytest.mark.parametrize(
    "text", ["", "[]", '["a", 1]', '["a"', '["a"] b', "a", "[1]", '["a", ["b"]]', '["' + "[" * 9_000]
)
def test_other_text_is_no_json_list(text: str) -> None:
    assert json_list(text) == []


@given(st.lists(st.text(), min_size=1))
def test_any_json_list_of_texts_is_taken_as_it_is(texts: list[str]) -> None:
    assert split_words(json.dumps(texts)) == split_texts(json.dumps(texts)) == texts


@given(st.text(st.sampled_from('ab ;|,\r\n["]{'), max_size=30))
def test_no_word_of_any_text_is_blank(text: str) -> None:
    if json_list(text):
        return
    assert all(word and word == word.strip() for word in [*split_words(text), *split_texts(text)])
