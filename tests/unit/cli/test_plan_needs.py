"""What `tek plan` says of the resources of a task."""

from __future__ import annotations

import pytest

from taskexec.cli.plan_needs import describe_needs
from taskexec.domain.resources import Alternative, Needs


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(), ""),
        (Needs(cpus=0.5, memory_mib=4_096), "0.5 cpus, 4G"),
        (Needs(gpus=1.0), "1 gpu"),
        (Needs(gpus=2.0, gpu_memory_mib=24_576, disk_mib=512), "2 gpus with 24G, 512M of disk"),
        (Needs(has=("a", "b"), has_not=("c",), exclusive=True), "has a b, not c, exclusive"),
        (Needs(nodes=4), "4 nodes"),
        (Needs(nodes=4, packed=True, cpus=2.0), "4 nodes, packed, 2 cpus"),
        (
            Needs(gpus=1.0, alternatives=(Alternative(0.5, Needs(cpus=16.0)), Alternative(1.0, Needs()))),
            "1 gpu or 16 cpus (0.5) or 1 cpu",
        ),
        (Needs(alternatives=(Alternative(2.0, Needs(gpus=0.5)),)), "1 cpu or 0.5 gpu (2)"),
    ],
)
def test_needs_are_told_in_few_words(needs: Needs, words: str) -> None:
    assert describe_needs(needs) == words
