"""Tests of declared files: what patterns mean in the project folder, and what they cannot mean."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from taskexec.runtime.declared import DeclaredMissing, digests_of, find_declared


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.txt", "b.txt", "src/one.py", "src/deep/two.py", ".hidden", "odd[1].txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.txt").symlink_to("a.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("a.txt", ["a.txt"]),
        ("./a.txt", ["a.txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
        ("src", ["src/deep/two.py", "src/one.py"]),
        ("src/", ["src/deep/two.py", "src/one.py"]),
        ("src/*.py", ["src/one.py"]),
        ("**/*.py", ["src/deep/two.py", "src/one.py"]),
        (".hid*", [".hidden"]),
        ("link.txt", ["link.txt"]),
        ("odd[1].txt", ["odd[1].txt"]),
    ],
)
def test_pattern_means_files(pattern: str, files: list[str]) -> None:
    assert find_declared([pattern], "input") == files


def test_file_that_several_patterns_mean_is_there_once() -> None:
    assert find_declared(["a.txt", "*.txt", "b.txt"], "input") == ["a.txt", "b.txt", "link.txt", "odd[1].txt"]


@pytest.mark.parametrize("pattern", ["none", "*.rs", "empty", "src/none/*"])
def test_pattern_without_a_file_is_told(pattern: str) -> None:
    with pytest.raises(DeclaredMissing, match="declared output") as caught:
        find_declared(["a.txt", pattern], "output")

    assert f"`{pattern}`" in str(caught.value)
    assert "`a.txt`" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["/etc/hostname", "..", "../x", "src/../../x", "a/../b.txt"])
def test_pattern_that_leads_out_of_the_project_is_refused(pattern: str) -> None:
    with pytest.raises(DeclaredMissing, match="not a path below"):
        find_declared([pattern], "input")


def test_digests_are_those_of_the_contents() -> None:
    assert digests_of(["a.txt"]) == {"a.txt": hashlib.sha256(b"a.txt").hexdigest()}
