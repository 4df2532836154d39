"""Tests of keys from a terminal: their names, and that the terminal is given back."""

from __future__ import annotations

import os
import pty
import termios
from collections.abc import Iterator

import pytest

from taskexec.cli.keyboard import Keyboard, split_keys


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("jk", ["j", "k"]),
        ("\x1b[A\x1b[B\x1bOA", ["up", "down", "up"]),
        ("\x1b[5~\x1b[6~\x1b[H\x1b[F", ["page up", "page down", "home", "end"]),
        ("\x1b", ["escape"]),
        ("\x1bq", ["escape", "q"]),
        ("\r\x7f\x04", ["enter", "backspace", "end of input"]),
        ("\x1b[1;5C\x1b[200~x", ["x"]),
        ("ä€\x00\x01", ["ä", "€"]),
    ],
)
def test_keys_have_names(sent: str, keys: list[str]) -> None:
    assert list(split_keys(sent)) == keys


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal: our side, and the one that a program has."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def keyboard(descriptor: int) -> Keyboard:
    return Keyboard(descriptor, leave=lambda: None, enter=lambda: None)


def test_keys_come_one_by_one_and_are_not_echoed(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal

    with keyboard(theirs) as keys:
        before = keys.read(0.0)
        os.write(ours, b"\xc3")
        half = keys.read(1.0)
        os.write(ours, b"\xa4q")
        whole = keys.read(1.0)
        local = termios.tcgetattr(theirs)[3]

    assert (before, half, whole) == ([], [], ["ä", "q"])
    assert not local & (termios.ECHO | termios.ICANON)
    assert local & termios.ISIG


def test_terminal_is_given_back_also_after_an_error(terminal: tuple[int, int]) -> None:
    found = termios.tcgetattr(terminal[1])

    with pytest.raises(RuntimeError), keyboard(terminal[1]):
        raise RuntimeError

    assert termios.tcgetattr(terminal[1]) == found
