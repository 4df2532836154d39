"""Words and numbers about retries."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskexec.domain.states import Reason
from taskexec.sources.values.attempts import (
    parse_backoff,
    parse_factor,
    parse_reason,
    parse_reasons,
    parse_share,
)

ALL = {str(reason) for reason in Reason} - {"cancelled"}


@pytest.mark.parametrize("reason", sorted(ALL))
def test_every_reason_but_cancelled_is_known_by_its_name(reason: str) -> None:
    assert parse_reason(reason) == (reason,)
    assert parse_reason(reason.replace("_", " ").upper()) == (reason,)


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("oom", {"out_of_memory"}),
        ("exit 75", {"exit 75"}),
        ("exit:75", {"exit 75"}),
        ("EXIT  Code 075", {"exit 75"}),
        ("exit_status=1", {"exit 1"}),
        ("any", ALL),
        ("All", ALL),
    ],
)
def test_other_words_for_reasons_are_known(text: str, reasons: set[str]) -> None:
    assert {*parse_reason(text)} == reasons


def test_list_of_reasons_is_understood() -> None:
    assert parse_reasons("exit 75; `timeout`,oom | exit:3") == ("exit 75", "timeout", "out_of_memory", "exit 3")
    assert parse_reasons('["exit 75", "signal"]') == ("exit 75", "signal")


@pytest.mark.parametrize(
    ("text", "factor"), [("2", 2), ("x2", 2), ("2x", 2), ("× 1.5", 1.5), ("X3", 3), ("1000", 1000), ("0.5", 0.5)]
)
def test_factors_are_understood(text: str, factor: float) -> None:
    assert parse_factor(text) == factor


@pytest.mark.parametrize(("text", "share"), [("0.5", 0.5), ("50%", 0.5), ("100 %", 1), ("0", 0), ("1", 1)])
def test_shares_are_understood(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *(
            (parse_reason, text)
            for text in ("", "crash", "cancelled", "exit 0", "exit 256", "exit -1", "exit 1-3", "75")
        ),
        *((parse_reasons, text) for text in ("", ";", "timeout; crash")),
        *((parse_factor, text) for text in ("", "x", "two", "-1", "2xx", "x2x3", "inf", "1e999")),
        *((parse_share, text) for text in ("", "%", "half", "-1%", "50%%")),
        *((parse_backoff, text) for text in ("", "linear", "2")),
    ],
)
def test_other_texts_are_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|go from"):
        parse(text)
