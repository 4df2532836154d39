"""Tests of usage and of the hints that follow from it."""

from __future__ import annotations

import pytest

from taskexec.domain.usage import Asked, Usage, hints


@pytest.mark.parametrize(
    ("usage", "asked", "duration_s", "told"),
    [
        (Usage(0.1, 200), Asked(1, 8192), 0.5, ["asked for 8,192 MiB of memory and used 200"]),
        (Usage(0.1, 200), Asked(1, 1024), 0.5, []),
        (Usage(0.1, 3000), Asked(1, 8192), 0.5, []),
        (Usage(0.1, 0), Asked(1, 8192), 0.5, []),
        (Usage(0.1, 3000), Asked(), 0.5, ["used 3,000 MiB of memory and asked for none"]),
        (Usage(7.6), Asked(), 2.0, ["used 3.8 cores on average and asked for 1"]),
        (Usage(3.4), Asked(), 0.9, []),
        (Usage(2.6), Asked(), 2.0, []),
        (Usage(18.0), Asked(16), 20.0, ["asked for 16 cores and used 0.9 on average"]),
        (Usage(1.8), Asked(16), 2.0, []),
        (Usage(1.0, gpu_memory_mib=0, gpu_s=0.0), Asked(gpus=1), 20.0, ["asked for 1 GPU and used none"]),
        (Usage(1.0), Asked(gpus=1), 20.0, []),
    ],
)
def test_hint_says_what_was_asked_for_far_too_much_or_too_little(
    usage: Usage, asked: Asked, duration_s: float, told: list[str]
) -> None:
    assert hints(usage, asked, duration_s) == told


def test_usage_of_two_is_the_sum_of_what_adds_up_and_the_higher_peak() -> None:
    one, other = Usage(1.0, 10, 5, 6, None, 2.0), Usage(0.5, 30, 1, 1, 7, None)

    assert one.plus(other) == Usage(1.5, 30, 6, 7, 7, 2.0)


def test_record_holds_what_is_known() -> None:
    assert Usage(0.25).to_record() == {"cpu_s": 0.25}
    assert Usage(0.25, 3, 2**20, 2**19, 0, 1.5).to_record() == {
        "cpu_s": 0.25,
        "peak_memory_mib": 3,
        "read_mib": 1.0,
        "written_mib": 0.5,
        "gpu_memory_mib": 0,
        "gpu_s": 1.5,
    }
