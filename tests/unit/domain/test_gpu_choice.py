"""Tests of the choice of GPUs: a bare number declares, a list names, and nothing is guessed."""

from __future__ import annotations

import pytest

from taskexec.domain.gpu_choice import GpuChoice, parse_gpu_choice
from taskexec.domain.resources import Gpu


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("0,1", ("0", "1")),
        ("0,", ("0",)),
        (" 3 , GPU-1f ,3", ("3", "GPU-1f")),
        ("MIG-GPU-1f/7/0", ("MIG-GPU-1f/7/0",)),
    ],
)
def test_list_names_gpus_that_are_there(text: str, named: tuple[str, ...]) -> None:
    assert parse_gpu_choice(text) == GpuChoice(named=named)


@pytest.mark.parametrize(("text", "memory_mib"), [("2", 0), ("2:24G", 24_576), ("2 : 512", 512)])
def test_number_declares_gpus(text: str, memory_mib: int) -> None:
    declared = tuple(Gpu(f"declared-{number}", "declared", memory_mib) for number in range(2))

    assert parse_gpu_choice(text) == GpuChoice(declared=declared)


@pytest.mark.parametrize("text", ["none", "None", "0", "0:8G"])
def test_none_is_none(text: str) -> None:
    assert parse_gpu_choice(text) == GpuChoice()


@pytest.mark.parametrize("text", ["", ",", "all", "-1", "GPU", "1.5", "2:", "2:much", "0,x", "9999", "GPU-1 GPU-2"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_gpu_choice(text)
