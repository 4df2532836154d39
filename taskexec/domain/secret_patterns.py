"""What looks like a secret, whatever its value: the words that announce one, and what has to follow them.

They are made for logs, where most of what looks odd is no secret: a rule asks for the word that announces a secret
(`password=`, `Bearer`, `://user:`) or for the form that one issuer gives its own. All repeats are bounded, and a rule
is tried only where its word stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["KEY_END", "has_needle", "open_needle", "pattern_spans"]

_PAUSE = rb"[ \t]{0,3}"
_NUMBER = rb"(?![ \t]{0,3}:[ \t]{0,3}-?[0-9.e+-]{1,40}[ \t]{0,3}[,}\]\r\n])"
"""What follows a quoted name is not a number of JSON: a mask in its place would be none."""
_SEPARATOR = rb"(?:\\{0,2}[\"']" + _NUMBER + rb")?" + _PAUSE + rb"[:=]" + _PAUSE + rb"\\{0,2}"
_OPTION = rb"[ \t]{1,3}(?!-)"
_NOTHING = rb"(?![$%{<(\[*]|\\{0,2}[\"']|(?:none|null|true|false|str|string|required|prompt)\b)"
"""What follows is no value but a variable, a placeholder, a type or a word about passwords."""
_ANY = (
    rb"(?:\"(?![,:}\]\s])([^\"\\\n]{1,256})|'(?![,:}\]\s])([^'\\\n]{1,256})|"
    + _NOTHING
    + rb"((?:[^\s\"'&;,\\]|\\[^\"'nrt\s]){3,256}))"
)
"""What a person may have chosen."""
_MADE = rb"(?:[\"'])?((?![./~])(?=[^\s\"']{0,128}?[0-9])(?=[^\s\"']{0,128}?[a-z])[a-z0-9+/_.~=-]{12,1024})"
"""What a machine has made: long, of digits and letters."""
_KEY_NAMES = (b"api", b"access", b"private", b"signing", b"encryption", b"account")
_BEFORE_KEY = b"|".join(b"(?<=" + name + sign + b")" for name in _KEY_NAMES for sign in (b"", b"_", b"-"))

_BEGIN = rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
_END = rb"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
KEY_END = re.compile(_END)
"""The end of a private key."""


class _Rule(NamedTuple):
    """One form of a secret."""

    needle: bytes
    """The word at which it is tried; in lower case, unless capitals count."""
    pattern: re.Pattern[bytes]
    """Matches from there on; what it captures is the secret."""
    is_exact: bool = False
    """Whether capitals count; else it is tried on the text in lower case."""
    before: int = 0
    """Bytes before the needle that it looks at."""


def _either(needle: bytes, named: bytes, value: bytes) -> _Rule:
    """Return the rule of a name that stands before a sign of assignment, or as an option before a value."""
    return _Rule(needle, re.compile(named + _SEPARATOR + value + rb"|(?<=--)" + named + _OPTION + value), before=2)


_RULES = (
    _either(b"passw", rb"passw(?:or)?d", _ANY),
    _either(b"passphrase", rb"passphrase", _ANY),
    _either(b"secret", rb"secret(?:[_-]?(?:access[_-]?)?key)?", _MADE),
    _either(b"token", rb"token", _MADE),
    _Rule(
        b"key",
        re.compile(
            rb"(?:"
            + _BEFORE_KEY
            + rb")key"
            + _SEPARATOR
            + _MADE
            + rb"|(?<=--api-)key"
            + _OPTION
            + _MADE
            + rb"|(?<=--access-)key"
            + _OPTION
            + _MADE
        ),
        before=12,
    ),
    _Rule(b"bearer", re.compile(rb"bearer[ \t]{1,3}((?=[^\s\"']{0,256}?[0-9])[a-z0-9._~+/=-]{16,2048})")),
    _Rule(
        b"authorization",
        re.compile(
            rb"authorization" + _SEPARATOR + rb"[\"']?(?:basic|digest|negotiate|token|apikey)[ \t]{1,3}"
            rb"([^\s\"',\\]{8,2048})"
        ),
    ),
    _Rule(b"://", re.compile(rb"://[^\s/:@\"'<>\\]{0,128}:(?![$%*{<])([^\s/@\"'<>\\]{1,256})@")),
    *(
        _Rule(
            needle,
            re.compile(rb"(?<![A-Za-z0-9])(" + needle + rb"[A-Z0-9]{16})(?![A-Za-z0-9])"),
            is_exact=True,
            before=1,
        )
        for needle in (b"AKIA", b"ASIA")
    ),
    *(
        _Rule(needle, re.compile(rb"(?<![A-Za-z0-9_])(" + needle + rest + rb")"), is_exact=True, before=1)
        for needle, rest in (
            (b"ghp_", rb"[A-Za-z0-9]{30,255}"),
            (b"gho_", rb"[A-Za-z0-9]{30,255}"),
            (b"ghs_", rb"[A-Za-z0-9]{30,255}"),
            (b"github_pat_", rb"[A-Za-z0-9_]{22,255}"),
            (b"glpat-", rb"[A-Za-z0-9_-]{20,64}"),
            (b"xox", rb"[abposr]-[A-Za-z0-9-]{10,255}"),
            (b"tek_", rb"(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{24,255}"),
            (b"tek-join-", rb"[0-9]{1,9}\.[A-Za-z0-9_-]{16,4000}\.[0-9a-f]{12}"),
        )
    ),
    _Rule(
        b"eyJ",
        re.compile(rb"(?<![A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{8,1024}\.eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{16,1024})"),
        is_exact=True,
        before=1,
    ),
    _Rule(  # one that was cut off reaches as far as it looks like a key
        b"-----BEGIN ",
        re.compile(
            _BEGIN
            + rb"((?:[^-\"]|-(?!----)){0,20000}(?="
            + _END
            + rb")|(?:(?:\s|\\[nr]){0,4}(?:[A-Za-z0-9+/=]{16,76}|[A-Z][A-Za-z-]{3,20}: [^\n\\\"']{1,80})){0,400})"
        ),
        is_exact=True,
    ),
)

_RARE = b"etaonisrhldcumfpgwybvk/:_-xjqzETAONISRHLDCUMFPGWYBVKXJQZ"
"""What needles are made of, the rarer the later: where its rarest byte is not, there is no needle."""
_GATED = tuple((bytes([max(rule.needle, key=_RARE.find)]), rule) for rule in _RULES)
_NEEDLES = tuple(rule.needle.lower() for rule in _RULES)
_NEEDLE = re.compile(b"|".join(map(re.escape, _NEEDLES)))
_NAMES = tuple(b"--" + word for word in (b"passw", b"secret", b"token", *_KEY_NAMES)) + _KEY_NAMES
_WORDS = (*_NEEDLES, *(name + sign for name in _NAMES for sign in (b"key", b"_key", b"-key")))
_BEGINNINGS = frozenset(word[:length] for word in _WORDS for length in range(1, len(word)))
_LONGEST = max(map(len, _BEGINNINGS))
_SHORT_BYTES = 512


def has_needle(data: bytes) -> bool:
    """Return whether a rule could apply; quick, since it is asked of all that is ever written."""
    lowered = data.lower()
    if len(data) < _SHORT_BYTES:
        return _NEEDLE.search(lowered) is not None
    for gate, rule in _GATED:
        text = data if rule.is_exact else lowered
        if gate in text and rule.needle in text:
            return True
    return False


def open_needle(data: bytes) -> int:
    """Return how many bytes at the end could be the beginning of such a word, with what else announces a secret."""
    tail = data[-_LONGEST:].lower()
    for length in range(len(tail), 0, -1):
        if tail[-length:] in _BEGINNINGS:
            return length
    return 0


def pattern_spans(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield where secrets stand, as beginning and end, and where what announces each begins; they may overlap."""
    lowered = data.lower()
    for gate, (needle, pattern, is_exact, before) in _GATED:
        text = data if is_exact else lowered
        position = text.find(needle) if gate in text else -1
        while position >= 0:
            match = pattern.match(text, position)
            after = position + len(needle)
            if match is not None:
                yield *match.span(match.lastindex or 0), max(position - before, 0)
                after = max(match.end(), after)
            position = text.find(needle, after)
