"""Keeping secrets out of all that is kept, sent and shown: the values of `TEK_SECRET_…`, and what looks like one.

A secret becomes `***`. Values are found as they are and as JSON, URLs and base64 write them; what looks like a secret
is found by `secret_patterns`. A stream is redacted as it comes: what could be the beginning of one is held back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from taskexec.domain.secret_patterns import KEY_END, has_needle, open_needle, pattern_spans

__all__ = ["MASK", "SECRET_PREFIX", "SHORTEST_SECRET", "RedactedStream", "Redactor", "is_secret_variable"]

SECRET_PREFIX = "TEK_SECRET_"  # noqa: S105 - the name of variables, not a secret
"""Variables whose names begin so are given to tasks, and their values are kept nowhere."""
SHORTEST_SECRET = 6
"""Shorter values are not looked for, in characters: they would stand in half of all texts by chance."""
MASK = b"***"

_SHORT_BYTES = 512
_LINE_LIMIT = 16_384
"""Bytes of an unfinished line that may be held back."""
_CONTEXT = 8_192
"""Bytes at the end of a longer one that still are: no pattern spans more."""
_KEY_LIMIT = 24_576
"""Bytes of an unfinished private key that may be held back."""

Span = tuple[int, int, int]
"""Beginning and end of a secret, and where what announces it begins."""


def is_secret_variable(name: str) -> bool:
    """Return whether a variable holds a secret by its name."""
    return name.startswith(SECRET_PREFIX)


class Redactor:
    """Knows the secrets of one environment; immutable, and may be shared by threads and processes."""

    def __init__(self, values: Iterable[str] = (), *, with_patterns: bool = True) -> None:
        """Know some values.

        Args:
            values: Secrets; those with fewer characters than `SHORTEST_SECRET` are left out.
            with_patterns: Whether what looks like a secret counts as one.
        """
        forms = {form for value in values for form in _forms(value)}
        self._forms = tuple(sorted(forms, key=len, reverse=True))
        self._with_patterns = with_patterns

    @classmethod
    def of(cls, environ: Mapping[str, str], *, with_patterns: bool = True) -> Redactor:
        """Return one that knows the secrets of an environment."""
        return cls((value for name, value in environ.items() if is_secret_variable(name)), with_patterns=with_patterns)

    @property
    def has_values(self) -> bool:
        """Whether it knows any value."""
        return bool(self._forms)

    def values_only(self) -> Redactor:
        """Return one that knows the same values and no patterns."""
        other = Redactor(with_patterns=False)
        other._forms = self._forms
        return other

    def holds(self, data: bytes) -> bool:
        """Return whether one of the known values stands in some bytes."""
        return any(form in data for form in self._forms)

    def may_change(self, data: bytes) -> bool:
        """Return whether there could be a secret in some bytes; quick, and wrong only by saying yes."""
        return (self._with_patterns and has_needle(data)) or self.holds(data)

    def data(self, data: bytes, *, keep_length: bool = False) -> bytes:
        """Return bytes without secrets; with `keep_length` each byte of one becomes a star."""
        return _masked(data, self.spans(data), len(data), keep_length=keep_length) if self.may_change(data) else data

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        encoded = text.encode("utf-8", "surrogatepass")
        if not self.may_change(encoded):
            return text
        return self.data(encoded).decode("utf-8", "surrogatepass")

    def json(self, value: Any) -> Any:
        """Return what JSON can hold without secrets: in its texts, its keys, and by what its keys and options say."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._named(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            before = ["", *value[:-1]]
            return [
                self._named(name if isinstance(name, str) and name.startswith("-") else "", item)
                for name, item in zip(before, value, strict=False)
            ]
        return value

    def _named(self, name: str, value: Any) -> Any:
        """Return a value, which is a secret as well when it would be one behind its name."""
        if not name or not isinstance(value, str):
            return self.json(value)
        told = self.text(f"{name}={value}")
        return told.removeprefix(f"{name}=") if told.startswith(f"{name}=") else self.text(value)

    def stream(self, *, keep_length: bool = False) -> RedactedStream:
        """Return what redacts a stream of bytes."""
        return RedactedStream(self, keep_length=keep_length)

    def spans(self, data: bytes) -> list[Span]:
        """Return where secrets stand in some bytes, in order and apart from each other."""
        found = [*self._value_spans(data), *(pattern_spans(data) if self._with_patterns else ())]
        merged: list[Span] = []
        for start, end, announced in sorted(found):
            if merged and start < merged[-1][1]:
                before = merged[-1]
                merged[-1] = (before[0], max(end, before[1]), min(announced, before[2]))
            elif start < end:
                merged.append((start, end, announced))
        return merged

    def _value_spans(self, data: bytes) -> Iterator[Span]:
        for form in self._forms:
            start = data.find(form)
            while start >= 0:
                yield start, start + len(form), start
                start = data.find(form, start + 1)

    def open_bytes(self, data: bytes) -> int:
        """Return how many bytes at the end could go on to be a secret."""
        held = max((_open_form(data, form) for form in self._forms), default=0)
        return max(held, self._open_pattern(data)) if self._with_patterns else held

    def _open_pattern(self, data: bytes) -> int:
        begun = data.rfind(b"-----BEGIN ")
        if begun >= 0 and len(data) - begun <= _KEY_LIMIT and not KEY_END.search(data, begun):
            return len(data) - begun
        line = data[max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 :]
        if line and has_needle(line):
            return len(line) if len(line) <= _LINE_LIMIT else _CONTEXT
        return open_needle(line)


class RedactedStream:
    """One stream on its way: bytes go in as they come, and out without secrets, some of them later."""

    __slots__ = ("_held", "_keep_length", "_redactor", "found")

    def __init__(self, redactor: Redactor, *, keep_length: bool = False) -> None:
        self._redactor = redactor
        self._keep_length = keep_length
        self._held = b""
        self.found = 0
        """Secrets that went out masked."""

    def feed(self, data: bytes) -> bytes:
        """Take what comes next; return what may go on."""
        if self._held:
            data = self._held + data
        redactor = self._redactor
        # a long text is looked through once, a short one in a fraction of that time
        spans = redactor.spans(data) if len(data) > _SHORT_BYTES or redactor.may_change(data) else []
        if not spans and data.endswith(b"\n") and not redactor.has_values and b"-----BEGIN " not in data:
            self._held = b""
            return data  # nearly all that is ever written
        cut = len(data) - redactor.open_bytes(data)
        for _, end, announced in reversed(spans):
            if announced < cut < end:
                cut = announced
        self._held = data[cut:]
        self.found += sum(end <= cut for _, end, _ in spans)
        return _masked(data, spans, cut, keep_length=self._keep_length)

    def peek(self) -> bytes:
        """Return what would go on if nothing more came; it stays held back."""
        return self._redactor.data(self._held, keep_length=self._keep_length)

    def close(self) -> bytes:
        """Return what was held back: nothing more comes."""
        if not self._held:
            return b""
        rest = self.peek()
        if rest != self._held:
            self.found += len(self._redactor.spans(self._held))
        self._held = b""
        return rest


def _masked(data: bytes, spans: Iterable[Span], until: int, *, keep_length: bool) -> bytes:
    """Return the first bytes of some, those in the spans masked; no span crosses `until`."""
    parts, position = [], 0
    for start, end, _ in spans:
        if end > until:
            break
        parts += [data[position:start], b"*" * (end - start) if keep_length else MASK]
        position = end
    return b"".join([*parts, data[position:until]]) if parts else data[:until]


def _open_form(data: bytes, form: bytes) -> int:
    """Return how many bytes at the end of some are the beginning of a form, but not all of it."""
    start = max(len(data) - len(form) + 1, 0)
    while (start := data.find(form[:1], start)) >= 0:
        if form.startswith(data[start:]):
            return len(data) - start
        start += 1
    return 0


def _forms(value: str) -> Iterator[bytes]:
    """Yield how a value may be written; of one with several lines each long line by itself as well."""
    for text in {value, *value.splitlines()}:
        if len(text.strip()) < SHORTEST_SECRET:
            continue
        raw = text.encode("utf-8", "surrogateescape")
        yield raw
        yield base64.b64encode(raw).rstrip(b"=")
        yield base64.urlsafe_b64encode(raw).rstrip(b"=")
        for written in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
            yield written.encode()
        clean = raw.decode("utf-8", "replace")
        for ascii_only in (True, False):
            yield json.dumps(clean, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "replace")
        yield repr(clean)[1:-1].encode("utf-8", "replace")
