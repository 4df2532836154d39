from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.plan import evidence_folder

WEIRD = ["~home", "訓" * 34, "a~0123456789abcdef"]
ids = st.one_of(st.text(min_size=1), st.from_regex(r"[-./\\~ a-c0-9]{1,12}(~[0-9a-f]{16})?", fullmatch=True))


@given(ids)
def test_folder_is_one_safe_path_component(task_id: str) -> None:
    folder = evidence_folder(task_id)

    assert 0 < len(folder.encode()) <= 100
    assert not re.search(r"[/\\\0]", folder)
    assert folder.isprintable()
    assert folder[0] not in ".- "
    assert folder[-1] not in ". "


@given(st.lists(ids, unique=True))
def test_different_ids_have_different_folders(task_ids: list[str]) -> None:
    assert len({evidence_folder(task_id) for task_id in task_ids}) == len(task_ids)


@given(ids)
def test_folder_of_another_id_is_never_taken(task_id: str) -> None:
    folder = evidence_folder(task_id)

    assert folder == task_id or evidence_folder(folder) != folder


@pytest.mark.parametrize("task_id", ["train", "a.b_c+d-e", "Übung-3", "訓練", "step 2", "x" * 100, "a~b"])
def test_plain_id_is_its_own_folder(task_id: str) -> None:
    assert evidence_folder(task_id) == task_id


@pytest.mark.parametrize(
    "task_id",
    ["", ".", "..", ".hidden", "-rf", "a/b", "a\\b", "a\nb", "end.", "end ", "x" * 101, "a:b", *WEIRD],
)
def test_other_id_has_a_stem_and_a_digest(task_id: str) -> None:
    assert re.fullmatch(r"[^~]+~[0-9a-f]{16}", evidence_folder(task_id))


def test_stem_stays_readable() -> None:
    assert evidence_folder("build/linux x86").startswith("build_linux x86~")
