"""What a written duration means, in the forms that people, spreadsheets and schedulers use."""

from __future__ import annotations

import math
import re

__all__ = ["parse_duration_s", "seconds_per_unit"]

_DAY_S = 86_400.0
_UNITS: dict[float, str] = {
    0.001: "ms millisecond milliseconds",
    1.0: "s sec secs second seconds sek sekunde sekunden seg segundo segundos seconde secondes",
    60.0: "m min mins minute minutes minuten minuto minutos",
    3_600.0: "h hr hrs hour hours std stunde stunden heure heures hora horas",
    _DAY_S: "d dy day days t tag tage tagen j jour jours dia dias día días",
    7 * _DAY_S: "w wk wks week weeks wo woche wochen sem semaine semaines semana semanas",
    30 * _DAY_S: "mo mon mons month months monat monate monaten mois mes meses",
}
"""Seconds of a unit, and the words for it. A day is 24 h and a month 30 days: plans estimate with them only."""

_SECONDS = {word: seconds for seconds, words in _UNITS.items() for word in words.split()}
_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_BARE = re.compile(rf"\+?(?P<number>{_NUMBER}(?:e[+-]?\d+)?)", re.ASCII | re.IGNORECASE)
_PART = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>[^\W\d_]+)\.?\s*(?:(?:,|and|und)\s*)?", re.IGNORECASE)
_CLOCK = re.compile(
    r"(?:(?P<days>\d{1,9})-)?(?P<hours>\d{1,9}):(?P<minutes>[0-5]?\d)(?::(?P<seconds>[0-5]?\d(?:\.\d+)?))?", re.ASCII
)
_DAYS_AND_HOURS = re.compile(r"(?P<days>\d{1,9})-(?P<hours>\d{1,2})", re.ASCII)
_ISO = re.compile(
    rf"P(?:(?P<w>{_NUMBER})W)?(?:(?P<d>{_NUMBER})D)?"
    rf"(?:T(?:(?P<h>{_NUMBER})H)?(?:(?P<m>{_NUMBER})M)?(?:(?P<s>{_NUMBER})S)?)?",
    re.ASCII,
)
_EXPECTED = "a duration such as `90`, `90s`, `2h`, `3 days` or `1-02:03:04` was expected"
_LONGEST = 100


def parse_duration_s(text: str, unit_s: float = 1.0, *, has_short_clock: bool = False) -> float:
    """Return seconds, finite and at least 0.

    Known are a bare number, numbers with units (`1w 2d`, `0.5 Tage`), clocks (`HH:MM:SS`, `D-HH:MM`) and ISO 8601
    (`PT1H30M`). MS Project's `?` behind an estimate and `e` before elapsed units mean nothing more.

    Args:
        text: The duration, with a decimal point.
        unit_s: Seconds of a bare number's unit.
        has_short_clock: Whether `10:05` is minutes and seconds and `2-04` days and hours, as in Slurm; otherwise
            they are not known, since they may as well mean something else.

    Raises:
        ValueError: The text is none of these.
    """
    text = text.removesuffix("?").strip()
    bare = _BARE.fullmatch(text)
    seconds = float(bare["number"]) * unit_s if bare else _seconds(text, has_short_clock=has_short_clock)
    if seconds is None or not math.isfinite(seconds):
        raise ValueError(_EXPECTED)
    return seconds


def seconds_per_unit(word: str) -> float | None:
    """Return the seconds of a unit, such as 86,400 of `days`; None for a word that is no unit."""
    word = word.casefold().rstrip(".")
    seconds = _SECONDS.get(word)
    return _SECONDS.get(word[1:]) if seconds is None and word.startswith("e") else seconds


def _seconds(text: str, *, has_short_clock: bool) -> float | None:
    if len(text) > _LONGEST:
        return None
    clock = _CLOCK.fullmatch(text)
    if clock:
        return _clock_seconds(clock, has_short_clock=has_short_clock)
    hours = _DAYS_AND_HOURS.fullmatch(text) if has_short_clock else None
    if hours:
        return float(hours["days"]) * _DAY_S + float(hours["hours"]) * 3_600
    iso = _ISO.fullmatch(text.upper()) if text[:1] in "Pp" and text[-1:] not in "PpTt" else None
    if iso:
        return sum(float(number) * _SECONDS[unit] for unit, number in iso.groupdict().items() if number)
    return _sum_of_parts(text)


def _clock_seconds(clock: re.Match[str], *, has_short_clock: bool) -> float | None:
    days, hours, minutes = float(clock["days"] or 0), float(clock["hours"]), float(clock["minutes"])
    if clock["seconds"] is not None or clock["days"] is not None:
        return days * _DAY_S + hours * 3_600 + minutes * 60 + float(clock["seconds"] or 0)
    if has_short_clock:
        return hours * 60 + minutes
    raise ValueError("it may be hours and minutes or minutes and seconds; `1:30:00` or `90m` was expected")


def _sum_of_parts(text: str) -> float | None:
    total, position = 0.0, 0
    while position < len(text):
        part = _PART.match(text, position)
        unit_s = seconds_per_unit(part["unit"]) if part else None
        if part is None or unit_s is None:
            return None
        total += float(part["number"]) * unit_s
        position = part.end()
    return total if text else None
