"""Tests of join tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.completion.keys import Identity
from taskexec.domain.join import JoinToken, TokenUnusable

KEY = Identity.generate().public
TOKEN = JoinToken("rediss://worker:ge%40heim@server:6380/0", (KEY,), "AUTHORITY", "CERTIFICATE", "PRIVATE")
LINE = TOKEN.encoded()


def test_token_comes_back_whole() -> None:
    assert JoinToken.decode(LINE) == TOKEN


def test_token_is_one_line_without_anything_to_quote() -> None:
    assert len(LINE.split()) == 1
    assert set(LINE) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def test_line_breaks_of_a_mail_program_do_no_harm() -> None:
    broken = "\r\n  ".join(LINE[at : at + 40] for at in range(0, len(LINE), 40))

    assert JoinToken.decode(f"\n{broken}\n") == TOKEN


@given(at=st.integers(0, len(LINE) - 1), new=st.sampled_from("aA0-_.x"))
def test_changed_character_is_found(at: int, new: str) -> None:
    if LINE[at] == new:
        return

    with pytest.raises(TokenUnusable):
        JoinToken.decode(LINE[:at] + new + LINE[at + 1 :])


@given(length=st.integers(0, len(LINE) - 1))
def test_shortened_token_is_found(length: int) -> None:
    with pytest.raises(TokenUnusable):
        JoinToken.decode(LINE[:length])


@given(text=st.text(max_size=80))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TokenUnusable):
        JoinToken.decode(text)


def test_later_version_is_named() -> None:
    with pytest.raises(TokenUnusable, match="version 2"):
        JoinToken.decode(LINE.replace("tek-join-1", "tek-join-2"))


@pytest.mark.parametrize("url", ["unix:///run/s.sock", "http://host", "redis://", "nonsense"])
def test_address_that_others_cannot_use_is_refused(url: str) -> None:
    with pytest.raises(TokenUnusable):
        JoinToken(url, (KEY,)).encoded()


def test_text_that_is_no_key_is_refused() -> None:
    with pytest.raises(TokenUnusable):
        JoinToken("redis://server", ("AAAA",)).encoded()


def test_password_is_not_shown() -> None:
    assert "heim" not in TOKEN.address
    assert "heim" not in repr(TOKEN)
    assert "PRIVATE" not in repr(TOKEN)


def test_certificates_come_into_the_address_by_their_files() -> None:
    url = TOKEN.url_with({"ssl_ca_certs": "/state/my ca.pem"})

    assert url == "rediss://worker:ge%40heim@server:6380/0?ssl_ca_certs=/state/my+ca.pem"
