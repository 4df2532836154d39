"""Commands and calls: what goes to a shell, how words are split, and what is refused."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.command import SHELL_CHARACTERS, Call, Command, needs_shell, parse_call, parse_command


@pytest.mark.parametrize("character", SHELL_CHARACTERS)
def test_each_shell_character_needs_a_shell(character: str) -> None:
    assert needs_shell(f"echo a{character}b")


@pytest.mark.parametrize("text", ["X=1 run", "A= b", "=x"])
def test_assignment_in_the_first_word_needs_a_shell(text: str) -> None:
    assert needs_shell(text)


@pytest.mark.parametrize(
    "text", ["", "true", "run --size=3", "echo 'a b'", r"echo a\ b", "echo ü", "a:b,c.d/e-f_g%h@i+j"]
)
def test_plain_words_need_no_shell(text: str) -> None:
    assert not needs_shell(text)


def test_shell_text_is_given_to_the_shell_as_it_is() -> None:
    command = parse_command(" echo  $HOME | wc ")

    assert command.argv == ("/bin/sh", "-c", " echo  $HOME | wc ")
    assert command.text == " echo  $HOME | wc "


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("true", ("true",)),
        ("  run \t --size=3\r", ("run", "--size=3")),
        ("echo 'a  b' \"c d\"", ("echo", "a  b", "c d")),
        (r"echo a\ b", ("echo", "a b")),
        ("echo ''", ("echo", "")),
        ("echo \N{NO-BREAK SPACE}", ("echo", "\N{NO-BREAK SPACE}")),
    ],
)
def test_words_are_split_as_a_shell_would(text: str, argv: tuple[str, ...]) -> None:
    assert parse_command(text).argv == argv


@given(words=st.lists(st.text(st.characters(exclude_characters="\0\n" + SHELL_CHARACTERS, codec="utf-8")), min_size=1))
def test_quoted_words_come_back(words: list[str]) -> None:
    text = shlex.join(["run", *words])

    if not needs_shell(text):
        assert parse_command(text).argv == ("run", *words)


@pytest.mark.parametrize("text", ["", "   ", "''", "a\0b", "echo 'open", 'echo "open', "echo \\"])
def test_unusable_command_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_command(text)


@pytest.mark.parametrize("command", [Command(("a", "b c")), Command(("x",), cwd="sub folder")])
def test_command_survives_json(command: Command) -> None:
    assert Command.from_json(command.to_json()) == command


def test_command_reads_as_a_person_would_write_it() -> None:
    assert Command(("echo", "a b")).text == "echo 'a b'"


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("module:function", Call("module:function", (), {})),
        (" pkg.sub:Class.method \n", Call("pkg.sub:Class.method", (), {})),
        ('m:f {"n": 3, "deep": {"x": [1]}}', Call("m:f", (), {"n": 3, "deep": {"x": [1]}})),
        ("m:f [1, null, true]", Call("m:f", (1, None, True))),
        ("m:f\n[\n1\n]", Call("m:f", (1,))),
    ],
)
def test_call_is_read(text: str, call: Call) -> None:
    assert parse_call(text) == call


@pytest.mark.parametrize(
    "text",
    [
        "",
        "module",
        "module:",
        ":f",
        "m:f 3",
        'm:f "x"',
        "m:f {",
        "m:f [1] 2",
        "m:f [NaN]",
        "m:f{}",
        "1m:f",
        "m f:g",
        "m:f [Infinity]",
    ],
)
def test_unusable_call_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_call(text)
