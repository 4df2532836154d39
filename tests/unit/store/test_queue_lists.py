"""Tests of the lists of a queue: all of kombu's, in the order in which it takes them, named in one place."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport.redis import Channel

import taskexec
from taskexec.store.keys import direct_key
from taskexec.store.queue_lists import PRIORITY_STEPS, lists_before, lists_of

PACKAGE = Path(taskexec.__file__).parent


def test_lists_of_a_queue_are_those_that_kombu_looks_into_in_its_order() -> None:
    kombus: Any = Channel
    channel = SimpleNamespace(sep=Channel.sep, priority_steps=list(PRIORITY_STEPS))
    channel.priority = lambda step: kombus.priority(channel, step)

    assert lists_of("gpu") == [kombus._q_for_pri(channel, "gpu", step) for step in PRIORITY_STEPS]


@pytest.mark.parametrize("position", range(len(PRIORITY_STEPS)))
def test_lists_before_one_are_those_that_are_taken_first(position: int) -> None:
    lists = lists_of("cpu")

    assert lists_before(lists[position]) == lists[:position]


def test_nothing_is_taken_before_the_list_of_a_worker() -> None:
    assert lists_before(direct_key("tek-1@host")) == []


def test_separator_stands_in_one_module() -> None:
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and Channel.sep in node.value
    }

    assert naming == {"store/queue_lists.py"}
