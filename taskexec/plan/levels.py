"""A graph as lines of text: a row of blocks for each level, one for each task as far as there is room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from taskexec.plan.graph import Graph
from taskexec.plan.svg import STATUS_SIGNS

__all__ = ["LEVELS_MAX", "Piece", "level_rows"]

LEVELS_MAX = 60
"""Most levels that are shown."""
_BLOCKS_MAX = 32
_BLOCK = "█"
_LEAST_FOR_NAMES = 12


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line."""

    text: str
    status: str = ""
    """The status that it is about; empty for none."""
    is_critical: bool = False


def level_rows(
    graph: Graph, ids: Sequence[str], statuses: Mapping[str, str], *, critical: Sequence[int], width: int
) -> Iterator[list[Piece]]:
    """Yield a line for each level: its number, its blocks (by status), how many tasks it has, and what names fit.

    Args:
        graph: The graph.
        ids: Names of tasks, by index; they must be printable.
        statuses: Statuses by id; tasks that are not in it have none.
        critical: Indexes on the critical path, which are named first.
        width: Characters in a line.
    """
    members: list[list[int]] = [[] for _ in graph.widths]
    for index, level in enumerate(graph.levels):
        members[level].append(index)
    is_critical = set(critical)
    widest = max(graph.widths, default=1)
    columns = min(widest, _BLOCKS_MAX, max(width // 3, 1))
    digits = len(f"{widest:,}")
    for level, indexes in enumerate(members[:LEVELS_MAX]):
        found = Counter(statuses.get(ids[index], "") for index in indexes)
        blocks = [
            *_blocks(found, max(1, round(len(indexes) * columns / max(widest, columns))), len(indexes) <= columns)
        ]
        used = sum(len(piece.text) for piece in blocks)
        head = [Piece(f"{level:>4} "), *blocks, Piece(f"{'':<{columns - used}} {len(indexes):>{digits},}  ")]
        room = width - 7 - columns - digits
        ordered = sorted(indexes, key=lambda index: index not in is_critical)
        yield [*head, *_names(ordered, ids, statuses, is_critical, room)]
    if len(members) > LEVELS_MAX:
        yield [Piece(f"… and {len(members) - LEVELS_MAX:,} more levels")]


def _blocks(found: Counter[str], columns: int, is_exact: bool) -> Iterator[Piece]:
    """Yield blocks of each status: as many as there are tasks, else as their share says, but at least one."""
    if is_exact:
        yield from (Piece(_BLOCK * count, status) for status, count in _sorted(found))
        return
    columns = max(columns, len(found))
    total, given, counted = sum(found.values()), 0, 0
    for left, (status, count) in zip(range(len(found) - 1, -1, -1), _sorted(found), strict=True):
        counted += count
        until = min(max(round(columns * counted / total), given + 1), columns - left)
        yield Piece(_BLOCK * (until - given), status)
        given = until


def _sorted(found: Counter[str]) -> list[tuple[str, int]]:
    order = {status: place for place, status in enumerate(reversed(STATUS_SIGNS))}
    return sorted(found.items(), key=lambda item: order.get(item[0], -1))


def _names(
    indexes: Sequence[int], ids: Sequence[str], statuses: Mapping[str, str], critical: set[int], room: int
) -> Iterator[Piece]:
    if room < _LEAST_FOR_NAMES:
        return
    for at, index in enumerate(indexes):
        status = statuses.get(ids[index], "")
        text = f"{STATUS_SIGNS[status]} {ids[index]}" if status in STATUS_SIGNS else ids[index]
        is_last = at == len(indexes) - 1
        if len(text) + (0 if is_last else 4) > room:
            yield Piece("…" if at or room < _LEAST_FOR_NAMES else text[: room - 2] + "…")
            return
        yield Piece(text, status, index in critical)
        yield Piece("  ")
        room -= len(text) + 2
