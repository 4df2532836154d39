"""What a YAML scalar means: the core schema of YAML 1.2, with texts for what people did not mean as numbers.

`yes`, `on`, dates, `1:30` and numbers with leading zeros (`007`) are texts. `.nan` and `.inf` are refused.
"""

from __future__ import annotations

import math
import re

from taskexec.domain.task import JSON
from taskexec.sources.tree.json_tokens import INTEGERS

__all__ = ["CORE_TAGS", "Unusable", "resolve_scalar"]

CORE_TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null", "map", "seq")}
"""The tags that are read, and their short names."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAY_BE_NO_TEXT = frozenset("~nNtTfF+-.0123456789")
_DIGITS_MAX = 400
_QUOTE = "put it in quotes if it is meant as a text"


class Unusable(ValueError):
    """A scalar has no value that can be used; its text fits behind the scalar."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def resolve_scalar(text: str, tag: str | None, *, is_plain: bool) -> JSON:
    """Return what a scalar means.

    Args:
        text: The scalar, without quotes and with its escapes resolved.
        tag: A short name of `CORE_TAGS`, or None when it has no tag.
        is_plain: Whether it stands without quotes, so that it need not be a text.

    Raises:
        Unusable: The number is not finite or beyond 64 bits, or the tag does not fit.
    """
    if tag is None:
        return _plain_value(text) if is_plain else text
    if tag == "str":
        return text
    value = _plain_value(text)
    kinds: dict[str, tuple[type, ...]] = {
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
        "null": (type(None),),
    }
    if type(value) not in kinds.get(tag, ()):
        raise Unusable(f"does not fit its tag `!!{tag}`", "remove the tag, or correct the value")
    return float(value) if tag == "float" else value


def _plain_value(text: str) -> JSON:
    if text and text[0] not in _MAY_BE_NO_TEXT:
        return text
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _NOT_FINITE.fullmatch(text):
        raise Unusable("is not a finite number", "write a number, or leave the field out")
    return _number(text)


def _number(text: str) -> int | float | str:
    base = 10 if _INTEGER.fullmatch(text) else 8 if _OCTAL.fullmatch(text) else 16
    if base != 16 or _HEXADECIMAL.fullmatch(text):
        number = int(text, base) if len(text) <= _DIGITS_MAX else None
        if number is None or number not in INTEGERS:
            raise Unusable("is a whole number beyond 64 bits", _QUOTE)
        return number
    if not _FLOAT.fullmatch(text):
        return text
    amount = float(text)
    if math.isinf(amount):
        raise Unusable("is too large", f"write a number below 1e308, or {_QUOTE}")
    return amount
