"""What counts as a secret, what does not, and that a stream says the same however it is cut."""

from __future__ import annotations

import base64
import itertools
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskexec.domain.secrets import SHORTEST_SECRET, Redactor

VALUE = "hunter2-hunter2"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEowIBAAKCA\nabcDEF==\n-----END RSA PRIVATE KEY-----"
)

SECRET = {
    "password=hunter2 and more": "password=*** and more",
    "PASSWORD: hunter2": "PASSWORD: ***",
    "DB_PASSWORD='two words' x": "DB_PASSWORD='***' x",
    '{"password": "two words", "n": 1}': '{"password": "***", "n": 1}',
    r'"{\"passwd\": \"abc\"}"': r'"{\"passwd\": \"***\"}"',
    "mysql --password hunter2 -h db": "mysql --password *** -h db",
    "curl --token abc123def456 x": "curl --token *** x",
    "api_key=0123456789abcdef": "api_key=***",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "aws_secret_access_key = ***",
    "AKIAIOSFODNN7EXAMPLE": "***",
    "Authorization: Bearer abcdef0123456789abcdef": "Authorization: Bearer ***",
    "authorization: basic dXNlcjpwYXNz": "authorization: basic ***",
    "redis://user:s3cr3t@host:6379/0": "redis://user:***@host:6379/0",
    "postgres://:s3cr3t@host/db?x=1": "postgres://:***@host/db?x=1",
    "ghp_0123456789abcdefghij0123456789abcdef": "***",
    "xoxb-123456789012-abcdefghijkl": "***",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{'a1' * 20}": "***",
    f"key: {PEM} end": "key: -----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY----- end",
}

HARMLESS = [
    "tests passed: 12, failed: 0",
    "tokens/s: 123456789012, num_tokens=32768, pad_token=<pad>, token_id=50256",
    "def login(user: str, password: str, token: str | None = None) -> None:",
    "password=$PASSWORD --password $PASSWORD password={password} password: <yours> password: ***",
    "Enter password: ",
    "password required; use bearer authentication, or basic authentication instead",
    "http://localhost:8080/a@b?c=d:e@f https://example.org:443/",
    "private_key: /etc/ssl/private/server1.pem",
    "api_key is not set; secret: none",
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
    "commit 0123456789abcdef0123456789abcdef01234567, sha256:9f86d081884c7d659a2feaa0c55ad015",
    '{"password": 12345, "token": 1.23456789e+100, "secret": [1, 2], "passwd": {"a": 1}, "password": true}',
    "loss=0.123 step=100 keys=12 monkey: 1 turkey=2 key=value",
    "task_name_that_begins_like tek_place_of_something_with_a_long_name",
]


@pytest.mark.parametrize(("text", "expected"), SECRET.items())
def test_what_looks_like_a_secret_is_masked(text: str, expected: str) -> None:
    assert Redactor().text(text) == expected
    assert Redactor().text(expected) == expected


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_speaks_of_secrets_is_left_alone(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize("value", [VALUE, 'a "quoted" \\ value', "ünïcode-välue", "with\ttab and space", "100%+x&y=z"])
def test_value_is_found_as_other_forms_write_it(value: str) -> None:
    from urllib.parse import quote, quote_plus

    redactor = Redactor([value])
    written = [
        value,
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        repr(value),
        quote(value, safe=""),
        quote_plus(value),
        base64.b64encode(value.encode()).decode(),
    ]

    for text in written:
        assert "***" in redactor.text(f"x {text} y")
        assert not redactor.holds(redactor.text(f"x {text} y").encode())


def test_lines_of_a_value_are_secret_one_by_one() -> None:
    redactor = Redactor(["first-line-1\nshort\nsecond-line-2\n"])

    assert redactor.text("first-line-1, then second-line-2") == "***, then ***"
    assert redactor.text("short") == "short"


def test_values_that_are_too_short_are_not_looked_for() -> None:
    assert not Redactor(["x" * (SHORTEST_SECRET - 1)]).has_values
    assert Redactor(["x" * SHORTEST_SECRET]).has_values


def test_only_secret_variables_of_an_environment_count() -> None:
    redactor = Redactor.of({"TEK_SECRET_A": "first-value", "OTHER": "other-value", "TEK_REDIS_URL": "third-value"})

    assert redactor.text("first-value other-value third-value") == "*** other-value third-value"


def test_json_is_redacted_by_values_keys_and_options() -> None:
    redactor = Redactor([VALUE])

    redacted = redactor.json(
        {
            "argv": ["login", "--password", "abcdef", "--verbose", VALUE, 5],
            "password": "abcdef",
            VALUE: None,
            "deep": [{"api_key": "0123456789abcdef", "n": 1.5, "ok": True}],
        }
    )

    assert redacted == {
        "argv": ["login", "--password", "***", "--verbose", "***", 5],
        "password": "***",
        "***": None,
        "deep": [{"api_key": "***", "n": 1.5, "ok": True}],
    }


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from([*SECRET, *HARMLESS]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["password", "token", "x", "api_key", *SECRET]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_json_stays_json_when_its_text_is_redacted(value: object) -> None:
    json.loads(Redactor().data(json.dumps(value).encode()))


def test_masks_of_the_same_length_keep_all_places() -> None:
    data = b"\x00\x01" + VALUE.encode() + b"\x02"

    assert Redactor([VALUE]).data(data, keep_length=True) == b"\x00\x01" + b"*" * len(VALUE) + b"\x02"


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


@given(
    parts=st.lists(
        st.sampled_from([*SECRET, *HARMLESS, VALUE, VALUE[:-1], "\n", " ", "\r", "é", "x" * 300]), max_size=8
    ),
    cuts=st.lists(st.integers(0, 5000), max_size=12),
)
def test_stream_says_the_same_however_it_is_cut(parts: list[str], cuts: list[int]) -> None:
    data = "\n".join(parts).encode()
    redactor = Redactor([VALUE])
    stream = redactor.stream()

    told = b"".join(map(stream.feed, pieces_of(data, cuts))) + stream.close()

    assert told == redactor.data(data)


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6), at=st.integers(0, 400))
def test_value_never_leaves_a_stream(data: bytes, cuts: list[int], at: int) -> None:
    whole = data[:at] + VALUE.encode() + data[at:]
    stream = Redactor([VALUE]).stream(keep_length=True)

    told = b"".join(map(stream.feed, pieces_of(whole, cuts))) + stream.close()

    assert VALUE.encode() not in told
    assert len(told) == len(whole)


def test_stream_holds_back_no_more_than_it_must() -> None:
    stream = Redactor([VALUE]).stream()

    assert stream.feed(b"progress ....") == b"progress ...."
    assert stream.feed(b"hunter") == b""
    assert stream.feed(b"q") == b"hunterq"
    assert stream.feed(b"the password") == b""
    assert stream.feed(b" is set\n") == b"the password is set\n"


def test_line_without_end_is_passed_on_and_masked() -> None:
    stream = Redactor([VALUE]).stream()
    data = b"token " * 30_000 + VALUE.encode() + b" token" * 30_000

    told = stream.feed(data)

    assert len(told) > 300_000
    assert told + stream.close() == data.replace(VALUE.encode(), b"***")


@pytest.mark.parametrize(
    "piece",
    [b"password=", b"://a:", b"eyJ", b"-----BEGIN PRIVATE KEY-----", b"token: ", b"bearer ", b"\\", b"--token "],
)
def test_no_text_makes_it_take_long(piece: bytes) -> None:
    data = b"password " + piece * (65_536 // len(piece))
    began = time.process_time()

    Redactor([VALUE]).data(data)

    assert time.process_time() - began < 2.0
