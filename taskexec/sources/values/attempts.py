"""What words and numbers about retries mean: reasons, the shape of delays, factors and shares."""

from __future__ import annotations

import re

from taskexec.domain.states import Reason
from taskexec.plan.attempts import EXPONENTIAL, FIXED
from taskexec.sources.values.amounts import parse_amount
from taskexec.sources.values.lists import split_words

__all__ = ["parse_backoff", "parse_factor", "parse_reason", "parse_reasons", "parse_share"]

_BACKOFFS = {FIXED: FIXED, "constant": FIXED, EXPONENTIAL: EXPONENTIAL}
_REASONS = {str(reason): str(reason) for reason in Reason if reason is not Reason.CANCELLED} | {
    "oom": str(Reason.OUT_OF_MEMORY)
}
_ALL = tuple(str(reason) for reason in Reason if reason is not Reason.CANCELLED)
_EXIT = re.compile(r"exit[\s_]*(?:code|status)?\s*[:=]?\s*(?P<status>\d{1,3})", re.ASCII)
_TIMES = re.compile(r"(?:[x×]\s*)?(?P<number>[^x×]*?)(?:\s*[x×])?", re.IGNORECASE)
_EXPECTED_REASON = (
    "`exit`, `exit 75`, `signal`, `timeout`, `out_of_memory`, `lost_worker`, `infrastructure`, `refused` or `any` was "
    "expected"
)


def parse_backoff(text: str) -> str:
    """Return `fixed` or `exponential`.

    Raises:
        ValueError: The text is neither.
    """
    word = _BACKOFFS.get(text.casefold())
    if word is None:
        raise ValueError(f"`{FIXED}` or `{EXPONENTIAL}` was expected")
    return word


def parse_factor(text: str) -> float:
    """Return a factor: `2`, `x2` or `2x`.

    Raises:
        ValueError: The text is none.
    """
    match = _TIMES.fullmatch(text)
    try:
        return parse_amount(match["number"] if match else text)
    except ValueError as error:
        raise ValueError("a factor such as `2` or `x1.5` was expected") from error


def parse_share(text: str) -> float:
    """Return a share of one: `0.5` or `50%`.

    Raises:
        ValueError: The text is none.
    """
    number = text.removesuffix("%").rstrip()
    try:
        return parse_amount(number) / 100 if text.endswith("%") else parse_amount(number)
    except ValueError as error:
        raise ValueError("a share such as `0.5` or `50%` was expected") from error


def parse_reason(text: str) -> tuple[str, ...]:
    """Return the reasons that one word stands for, as `RetryPolicy.on` has them; `any` stands for all.

    Raises:
        ValueError: The text is no reason, or no status of a failure.
    """
    word = " ".join(text.casefold().split())
    if word in ("any", "all"):
        return _ALL
    reason = _REASONS.get(re.sub("[ -]", "_", word))
    if reason is not None:
        return (reason,)
    match = _EXIT.fullmatch(word)
    if match is None:
        raise ValueError(_EXPECTED_REASON)
    if not 1 <= int(match["status"]) <= 255:
        raise ValueError("exit statuses of failures go from 1 to 255")
    return (f"exit {int(match['status'])}",)


def parse_reasons(text: str) -> tuple[str, ...]:
    """Return the reasons of a list in one text.

    Raises:
        ValueError: One of its words is none, or there is no word.
    """
    words = [word for part in split_words(text) if (word := part.strip("`* "))]
    if not words:
        raise ValueError(_EXPECTED_REASON)
    return tuple(reason for word in words for reason in parse_reason(word))
