"""What a written instant means: ISO 8601, its zone said or not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from taskexec.plan.draft import Instant

__all__ = ["parse_instant"]

_INSTANT = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<clock>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?P<fraction>\d{1,3})\d*)?)?"
    r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?",
    re.ASCII | re.IGNORECASE,
)
_EXPECTED = "an instant such as `2026-03-01T18:00Z`, or a day such as `2026-03-01`, was expected"
_UTC_WORDS = ("Z", "UTC", "GMT")


def parse_instant(text: str) -> Instant:
    """Return an instant to the millisecond; without a zone it is one of UTC, and a day means its end.

    Raises:
        ValueError: The text is no instant, or there is no such day or hour.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(_EXPECTED)
    date, clock, zone = match["date"], match["clock"], match["zone"]
    try:
        found = datetime.fromisoformat(f"{date}T{clock or '00:00'}").replace(tzinfo=_zone(zone))
        found = found + timedelta(days=1) if clock is None else found
        found = found.replace(microsecond=1_000 * int(f"{match['fraction'] or 0:0<3}"))
        return Instant(found.timestamp(), text, lacks_zone=zone is None)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"there is no such day or hour; {_EXPECTED}") from error


def _zone(text: str | None) -> timezone:
    if text is None or text.upper() in _UTC_WORDS:
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-offset if text[0] == "-" else offset)
