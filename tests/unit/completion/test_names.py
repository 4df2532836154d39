"""Tests of where evidence lies: below its folder whatever it is called, and apart from all other evidence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.completion.names import evidence_path, find_evidence, path_beside

FOLDER = Path("/home/attempt-1")


@pytest.mark.parametrize("name", ["stdout.log", "files/a.txt", "outputs/deep/er/x", "files/a b~c", "files/é"])
def test_plain_names_stay_as_they_are(name: str) -> None:
    assert evidence_path(FOLDER, name) == FOLDER / name


@given(st.text(max_size=300))
def test_every_name_leads_below_the_folder(name: str) -> None:
    path = evidence_path(FOLDER, name)

    assert ".." not in path.parts
    assert FOLDER in path.parents
    assert all(len(part.encode("utf-8", "surrogatepass")) <= 255 and "\0" not in part for part in path.parts)


SPELLINGS = ["", ".", "..", "/", "a", "a/", "/a", "./a", "../a", "a//b", "a/b", "a/../b", "b", "result.json", "x" * 256]


@pytest.mark.parametrize("kind", [evidence_path, path_beside])
def test_names_that_differ_lie_apart(kind: type) -> None:
    paths = [kind(FOLDER, name) for name in SPELLINGS]

    assert len(set(paths)) == len(SPELLINGS)


def test_a_name_that_looks_like_the_place_of_another_is_not_taken_for_it() -> None:
    place = evidence_path(FOLDER, "../a")

    assert evidence_path(FOLDER, place.name) != place


def test_file_beside_its_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path_beside(tmp_path, "a").write_text("x")

    assert find_evidence(tmp_path, "a") == path_beside(tmp_path, "a")
    assert find_evidence(tmp_path, "b") is None
