"""What words for resources mean, alone and as alternatives in one line."""

from __future__ import annotations

from typing import Any

import pytest

from taskexec.domain.resources import Needs
from taskexec.sources.values.needs import UnknownNeed, need_words, parse_alternatives, parse_need


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("cores = 4", ("cpus", 4.0)),
        ("memory: 4G", ("memory_mib", 4_096)),
        ("GPU memory=1G", ("gpu_memory_mib", 1_024)),
        ("tmp=1G", ("disk_mib", 1_024)),
        ("has=zone=a", ("has", "zone=a")),
        ("not=slow", ("has_not", "slow")),
        ("Exclusive", ("exclusive", True)),
        ("packed=no", ("packed", False)),
        ("nodes=4", ("nodes", 4)),
    ],
)
def test_word_is_a_field_and_its_value(word: str, expected: tuple[str, Any]) -> None:
    assert parse_need(word) == expected


@pytest.mark.parametrize("word", ["nodes=0", "nodes=x", "exclusive=", "weight=1", "cpus="])
def test_wrong_value_is_told(word: str) -> None:
    with pytest.raises(ValueError, match=r"was expected|to say"):
        parse_need(word)


@pytest.mark.parametrize("word", ["tape=1", "cpus", "", "16"])
def test_unknown_word_is_told(word: str) -> None:
    with pytest.raises(UnknownNeed):
        parse_need(word)


def test_alternatives_stand_between_semicolons_and_bars() -> None:
    assert parse_alternatives("gpus=1 gpu_memory=24G; cpus=16, weight=0.5 | has=x has=y exclusive;") == (
        {"gpus": 1.0, "gpu_memory_mib": 24_576},
        {"cpus": 16.0, "weight": 0.5},
        {"has": ("x", "y"), "exclusive": True},
    )


@pytest.mark.parametrize("text", ["cpus=1 cpus=2", "nodes=2", "weight=0", "packed", "4 cores", "cpus=1,5"])
def test_wrong_alternative_names_the_word(text: str) -> None:
    with pytest.raises(ValueError, match="`"):
        parse_alternatives(text)


def test_words_for_needs_are_read_back() -> None:
    needs = Needs(
        cpus=0.5, memory_mib=3, gpus=2.0, gpu_memory_mib=4, disk_mib=5, has=("a",), has_not=("b",), exclusive=True
    )

    assert parse_alternatives(" ".join(need_words(needs, 0.25))) == (
        {
            "cpus": 0.5,
            "memory_mib": 3,
            "gpus": 2.0,
            "gpu_memory_mib": 4,
            "disk_mib": 5,
            "has": ("a",),
            "has_not": ("b",),
            "exclusive": True,
            "weight": 0.25,
        },
    )
