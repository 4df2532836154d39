"""Declared paths: one form, and none that leads out of the project's folder."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.plan.paths import PATH_MAX, normal_path, path_problem


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("a.csv", "a.csv"),
        (" a b.csv ", "a b.csv"),
        ("./a//b/", "a/b"),
        ("a/../b", "b"),
        ("src/**/*.py", "src/**/*.py"),
        ("...", "..."),
        ("..a/b", "..a/b"),
        ("x" * PATH_MAX, "x" * PATH_MAX),
    ],
)
def test_paths_inside_are_taken_in_one_form(written: str, normal: str) -> None:
    assert path_problem(written) is None
    assert normal_path(written) == normal


@pytest.mark.parametrize(
    "written",
    [
        *("", "  ", ".", "./", "a/..", "..", "../x", "a/../../x", "**/../../x", "/x", "//x", "~/x", "~ann/x"),
        *("C:/x", r"c:\x", r"a\b", "https://x/y", "s3://x/y", "file:x", "a\0b", "a\nb", "a\x7f", "x" * (PATH_MAX + 1)),
    ],
)
def test_other_paths_are_refused_with_a_remedy(written: str) -> None:
    problem = path_problem(written)

    assert problem is not None
    assert all(problem)


@given(st.text(st.sampled_from("./a*~: "), max_size=12))
def test_no_taken_path_leaves_the_folder(written: str) -> None:
    if path_problem(written) is None:
        path = normal_path(written)

        assert path_problem(path) is None
        assert normal_path(path) == path
        assert posixpath.normpath(posixpath.join("/project", path)).startswith("/project/")
