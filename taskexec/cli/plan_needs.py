"""What a task asks for, in the few words of a table's cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from taskexec.domain.sizes import show_mib

if TYPE_CHECKING:
    from taskexec.domain.resources import Needs

__all__ = ["describe_needs"]


def describe_needs(needs: Needs) -> str:
    """Return what a task asks for, such as `4 nodes, 2 cpus, 4 GiB, has ssd or 16 cpus (0.5)`; empty for a slot."""
    if needs.is_default:
        return ""
    ranks = [f"{needs.nodes:,} nodes" + (", packed" if needs.packed else "")] if needs.nodes > 1 else []
    parts = [", ".join([*ranks, *_words(needs)]) or "1 cpu"]
    for alternative in needs.alternatives:
        weight = "" if alternative.weight == 1 else f" ({alternative.weight:g})"
        parts.append((", ".join(_words(alternative.needs)) or "1 cpu") + weight)
    return " or ".join(parts)


def _words(needs: Needs) -> Iterator[str]:
    """Yield what one worker must have, as far as it is more than one core."""
    if needs.cpus != 1:
        yield f"{needs.cpus:g} cpus"
    if needs.memory_mib:
        yield show_mib(needs.memory_mib)
    if needs.gpus:
        each = f" with {show_mib(needs.gpu_memory_mib)}" if needs.gpu_memory_mib else ""
        yield f"{needs.gpus:g} {'gpu' if needs.gpus <= 1 else 'gpus'}{each}"
    if needs.disk_mib:
        yield f"{show_mib(needs.disk_mib)} of disk"
    if needs.has:
        yield f"has {' '.join(needs.has)}"
    if needs.has_not:
        yield f"not {' '.join(needs.has_not)}"
    if needs.exclusive:
        yield "exclusive"
