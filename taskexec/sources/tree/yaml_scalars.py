"""What a YAML scalar means: the core schema of YAML 1.2, with texts for what people did not mean as numbers.

`yes`, `on`, dates, `1:30` and numbers with leading zeros (`007`) are texts. `.nan` and `.inf` are refused.
"""

from __future__ import annotations

import math
import re

from taskexec.domain.task import JSON

__all__ = ["CORE_TAGS", "resolve_scalar"]

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


def resolve_scalar(text: str, tag: str | None, *, is_plain: bool) -> JSON:
    """Return what a scalar means.

    Args:
        text: The scalar, without quotes and with its escapes resolved.
        tag: A short name of `CORE_TAGS`, or None when it has no tag.
        is_plain: Whether it stands without quotes, so that it need not be a text.

    Raises:
        ValueError: The number is not finite or too long, or the tag does not fit; the text fits behind the value.
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
        raise ValueError(f"does not fit its tag `!!{tag}`")
    return float(value) if tag == "float" else value


def _plain_value(text: str) -> JSON:
    if text and text[0] not in _MAY_BE_NO_TEXT:
        return text
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("is not a finite number")
    return _number(text)


def _number(text: str) -> int | float | str:
    base = 10 if _INTEGER.fullmatch(text) else 8 if _OCTAL.fullmatch(text) else 16
    if base != 16 or _HEXADECIMAL.fullmatch(text):
        if len(text) > _DIGITS_MAX:
            raise ValueError(f"is a number of more than {_DIGITS_MAX} digits")
        return int(text, base)
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text)
    if math.isinf(number):
        raise ValueError("is too large")
    return number
