"""Which GPUs a worker is to offer, as its owner writes it: none, some of those there, or only declared ones."""

from __future__ import annotations

import re
from typing import NamedTuple

from taskexec.domain.resources import Gpu
from taskexec.domain.sizes import parse_memory_mib

__all__ = ["DECLARED", "GpuChoice", "parse_gpu_choice"]

DECLARED = "declared"
"""Model of a GPU that is only declared."""

_DECLARED_MAX = 1024
_DECLARED = re.compile(r"(?P<count>\d{1,4})(?:\s*:\s*(?P<memory>[^,]+))?", re.ASCII)
_NAMED = re.compile(r"\d{1,4}|(?:GPU|MIG)-[0-9A-Za-z/-]+", re.ASCII)
_EXPECTED = (
    "`none`, UUIDs or indices separated by commas (a single index as `0,`), or a number of GPUs to declare, as `16` or "
    "`16:24G`, was expected"
)


class GpuChoice(NamedTuple):
    """What an owner said of the GPUs of a worker; neither of the two: it offers none."""

    named: tuple[str, ...] = ()
    """UUIDs, beginnings of UUIDs or indices of GPUs that are there, in the order of the offer."""
    declared: tuple[Gpu, ...] = ()
    """GPUs that the worker claims to have, whatever the machine has."""


def parse_gpu_choice(text: str) -> GpuChoice:
    """Return what a text says.

    >>> parse_gpu_choice("0,GPU-3f").named
    ('0', 'GPU-3f')
    >>> [gpu.uuid for gpu in parse_gpu_choice("2:24G").declared]
    ['declared-0', 'declared-1']

    Raises:
        ValueError: It says nothing that is known; the text says what was expected.
    """
    if text.strip().lower() == "none":
        return GpuChoice()
    counted = _DECLARED.fullmatch(text.strip())
    if counted:
        count = int(counted["count"])
        if count > _DECLARED_MAX:
            raise ValueError(f"at most {_DECLARED_MAX:,} GPUs were expected")
        memory_mib = parse_memory_mib(counted["memory"].strip()) if counted["memory"] else 0
        return GpuChoice(declared=tuple(Gpu(f"{DECLARED}-{number}", DECLARED, memory_mib) for number in range(count)))
    named = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not named or not all(map(_NAMED.fullmatch, named)):
        raise ValueError(_EXPECTED)
    return GpuChoice(named)
