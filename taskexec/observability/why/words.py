"""How an answer says amounts, times and asks: short, and such that an amount can be written into a plan again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskexec.domain.fit import WHOLE, Ask, Option

__all__ = [
    "agent_of",
    "amount",
    "ask_text",
    "counted",
    "joined",
    "labels_of",
    "left_text",
    "route_of",
    "size",
    "span",
]

_MANY = 3


def amount(thousandths: int) -> str:
    """Return cores or GPUs as a number.

    >>> amount(2000), amount(500)
    ('2', '0.5')
    """
    return f"{thousandths / WHOLE:.3f}".rstrip("0").rstrip(".")


def size(mib: int) -> str:
    """Return memory or disk, to the MiB, as a plan may hold it.

    >>> size(3584), size(100), size(24576), size(1025)
    ('3.5G', '100M', '24G', '1025M')
    """
    if mib >= 1024 and mib * 10 % 1024 == 0:
        return f"{mib / 1024:.1f}".removesuffix(".0") + "G"
    return f"{mib}M"


def span(seconds: float) -> str:
    """Return a duration, with two units at most.

    >>> span(0.0214), span(3.26), span(75), span(7200), span(200000)
    ('21 ms', '3.3 s', '1 min 15 s', '2 h', '2 d 7 h')
    """
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for large, small, name, other in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {name}" + (f" {rest} {other}" if rest else "")
    return f"{whole} s"


def left_text(seconds: float) -> str:
    """Return a time that is left, which is never exact.

    >>> left_text(840), left_text(50), left_text(-3)
    ('~14 min', '~50 s', 'a moment')
    """
    if seconds <= 0:
        return "a moment"
    if seconds < 90:
        return f"~{max(round(seconds), 1)} s"
    return f"~{round(seconds / 60)} min" if seconds < 5400 else f"~{seconds / 3600:.1f}".removesuffix(".0") + " h"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return how many there are of something.

    >>> counted(1, "task"), counted(2000, "task")
    ('1 task', '2,000 tasks')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def joined(names: Iterable[str], most: int = _MANY) -> str:
    """Return some names, the first ones of many.

    >>> joined(["a", "b"]), joined("abcde")
    ('a and b', 'a, b, c and 2 more')
    """
    listed = list(names)
    shown = listed[:most]
    more = len(listed) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more:,} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def _traits(traits: Iterable[str], prefix: str) -> list[str]:
    return [trait[2:] for trait in traits if trait.startswith(prefix)]


def route_of(option: Option) -> str:
    """Return the queue an option goes to."""
    return next(iter(_traits(option.has, "r:")), "")


def agent_of(option: Option) -> str:
    """Return the agent that performs it."""
    return next(iter(_traits(option.has, "a:")), "")


def labels_of(traits: Sequence[str]) -> list[str]:
    """Return the labels among traits."""
    return _traits(traits, "l:")


def option_text(option: Option) -> str:
    """Return what one option asks of a worker."""
    parts = []
    if option.gpus:
        number = amount(option.gpus)
        memory = f" with {size(option.gpu_memory)}" + (" each" if option.gpus > WHOLE else "")
        parts.append(f"{number} GPU{'s' if option.gpus > WHOLE else ''}" + (memory if option.gpu_memory else ""))
    parts.append(f"{amount(option.cpus)} core{'' if option.cpus == WHOLE else 's'}")
    if option.memory:
        parts.append(f"{size(option.memory)} of memory")
    if option.disk:
        parts.append(f"{size(option.disk)} of disk")
    said = joined(parts, 9)
    if option.exclusive:
        said += ", with the worker for itself alone"
    has, lacks = labels_of(option.has), labels_of(option.has_not)
    if has:
        said += f", label {joined([f'`{label}`' for label in has], 9)}"
    if lacks:
        said += f", not label {joined([f'`{label}`' for label in lacks], 9)}"
    return f"{said}, on a worker of the queue `{route_of(option)}`"


def ask_text(ask: Ask) -> list[str]:
    """Return what a task asks for, a line an option."""
    before = ""
    if ask.ranks > 1:
        how = "which may share workers" if ask.packed else "each on a worker of its own"
        before = f"{ask.ranks} ranks at once, {how}, each with "
    return [before + option_text(option) for option in ask.options]
