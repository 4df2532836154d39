"""Keys as they are pressed, from a terminal that is given back as it was found, whatever happens."""

from __future__ import annotations

import codecs
import os
import re
import select
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

__all__ = ["Keyboard", "split_keys"]

_NAMES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1b[7~": "home",
    "\x1b[8~": "end",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x04": "end of input",
    "\x0c": "redraw",
}
_KEY = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]|\x1bO.|\x1b.|.", re.DOTALL)
_READ_BYTES = 1024


def split_keys(text: str) -> Iterator[str]:
    """Yield the keys in what a terminal sent: names of special ones, else the character; unknown ones are left out.

    >>> list(split_keys("a\\x1b[A\\r"))
    ['a', 'up', 'enter']
    """
    for sent in _KEY.findall(text):
        if sent.startswith("\x1bO"):  # cursor keys of some terminals
            sent = "\x1b[" + sent[2:]
        if len(sent) == 2 and sent[0] == "\x1b":  # Escape, and soon another key
            yield "escape"
            sent = sent[1]
        if sent in _NAMES:
            yield _NAMES[sent]
        elif len(sent) == 1 and sent.isprintable():
            yield sent


class Keyboard:
    """A terminal without line editing and echo while its context lasts; Ctrl-C and Ctrl-Z work as always."""

    def __init__(self, descriptor: int, *, leave: Callable[[], None], enter: Callable[[], None]) -> None:
        """Begin with a terminal.

        Args:
            descriptor: The terminal.
            leave: Called before the process is stopped by Ctrl-Z, with the terminal as it was found.
            enter: Called when it goes on.
        """
        self._descriptor = descriptor
        self._leave, self._enter = leave, enter
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._found: list[Any] = []
        self._former: Any = None
        self._wants_stop = False
        self.is_gone = False
        """Whether the terminal has gone away."""

    def __enter__(self) -> Keyboard:
        self._found = termios.tcgetattr(self._descriptor)
        self._former = signal.signal(signal.SIGTSTP, self._note_stop)
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTSTP, self._former)
        self._give_back()

    def _take(self) -> None:
        tty.setcbreak(self._descriptor, termios.TCSANOW)

    def _give_back(self) -> None:
        try:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._found)
        except (termios.error, OSError):
            self.is_gone = True

    def _note_stop(self, _: int, __: FrameType | None) -> None:
        self._wants_stop = True

    def read(self, wait_s: float) -> list[str]:
        """Return the keys that were pressed, waiting up to `wait_s` for one; stop here when Ctrl-Z was."""
        if self._wants_stop:
            self._stop()
        ready, _, _ = select.select([self._descriptor], [], [], wait_s)
        if not ready:
            return []
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self.is_gone = True
        return list(split_keys(self._decoder.decode(data)))

    def _stop(self) -> None:
        """Stop the process as Ctrl-Z does, with the terminal as it was found, and go on when it is woken."""
        self._wants_stop = False
        self._leave()
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._note_stop)
        self._take()
        self._enter()
