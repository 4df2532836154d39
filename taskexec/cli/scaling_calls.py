"""Calls what starts and ends nodes: when a figure is another, and while what is there is not what is wanted."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskexec.cli.output import say
from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.domain.autoscale import Wanted

__all__ = ["Caller"]


@dataclass(slots=True)
class _Told:
    """What the command was told of one class last."""

    wanted: int | None
    """Figure that it took; none while a call is owed, since the last one failed."""
    at_s: float
    """When it took it, by the clock of the caller."""
    gap: int
    """Nodes that were missing, or too many, at the last look."""


class Caller:
    """Calls a command for each class whose figure is another than the one it took last, or whose nodes are gone."""

    def __init__(self, command: str, *, repeat_s: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Split a command into its words, as a shell would.

        Args:
            command: Words, in which `{class}`, `{wanted}` and `{now}` are replaced.
            repeat_s: While there are not as many nodes as wanted, seconds from one call with a figure to the next.
            clock: Seconds that only grow.

        Raises:
            UsageError: A quote is not closed, or there is no word.
        """
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"command `{command}` cannot be split into words: {str(error).lower()}") from error
        if not self._words:
            raise UsageError("the command of `--exec` is empty")
        self._repeat_s = repeat_s
        self._clock = clock
        self._told: dict[str, _Told] = {}

    def call(self, found: Mapping[str, Wanted]) -> None:
        """Call it for what is due; a call that fails is said, and made again next time."""
        for name, figure in found.items():
            gap = abs(figure.wanted - figure.now)
            told = self._told.setdefault(name, _Told(figure.now, self._clock(), gap))
            is_due = self._is_due(told, figure.wanted, gap)
            told.gap = gap
            if is_due:
                told.wanted = figure.wanted if self._is_taken(name, figure) else None
                told.at_s = self._clock()

    def _is_due(self, told: _Told, wanted: int, gap: int) -> bool:
        """Return whether a figure is news, nodes went since the last look, or those asked for are long in coming."""
        if told.wanted != wanted or gap > told.gap:
            return True
        return gap > 0 and self._clock() - told.at_s >= self._repeat_s

    def _is_taken(self, name: str, figure: Wanted) -> bool:
        words = {"{class}": name, "{wanted}": str(figure.wanted), "{now}": str(figure.now)}
        argv = [_filled(word, words) for word in self._words]
        try:
            status = subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode
        except OSError as error:
            say(f"`{argv[0]}` cannot be called: {error.strerror}")
            return False
        if status:
            say(f"`{shlex.join(argv)}` exited with {status}; it is called again")
        return status == 0


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
