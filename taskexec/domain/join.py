"""Join tokens: one line that holds all a machine needs to join a cluster: the server, and whose plans count.

A token is `tek-join-1.<body>.<checksum>`: the body is zlib-compressed JSON in base64url without padding, the checksum
the first 12 hexadecimal digits of the SHA-256 of all before it. The checksum finds what a mail program or a clipboard
has done; it is no signature. A token holds a password, so it is a secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from taskexec.domain.address import mask_url
from taskexec.domain.proof import is_public_key
from taskexec.errors import UsageError

__all__ = ["JoinToken", "TokenUnusable"]

_PREFIX = "tek-join-"
_VERSION = 1
_FORM = re.compile(r"tek-join-(?P<version>\d{1,9})\.(?P<body>[A-Za-z0-9_-]+)\.(?P<checksum>[0-9a-f]{12})")
_BODY_LIMIT_BYTES = 1 << 20
_SCHEMES = ("redis", "rediss")


class TokenUnusable(UsageError):
    """A join token that is damaged, of another version, or none; its text is never shown."""

    code = "token"


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What a token holds."""

    url: str = field(repr=False)
    """Address of the server with user and password, without paths of files."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys whose plans a worker that joins performs."""
    authority: str = field(default="", repr=False)
    """PEM of the authority that signed the server's certificate; empty: those that the system trusts."""
    certificate: str = field(default="", repr=False)
    """PEM of a client certificate; empty: none."""
    private_key: str = field(default="", repr=False)
    """PEM of its private key."""

    @property
    def address(self) -> str:
        """Return the server's address for people, without its password."""
        return mask_url(self.url)

    def encoded(self) -> str:
        """Return the token as one line.

        Raises:
            TokenUnusable: The address is one that other machines cannot use, or a key is none.
        """
        _check(self)
        fields = {
            "url": self.url,
            "keys": list(self.trusted_keys),
            "ca": self.authority,
            "cert": self.certificate,
            "key": self.private_key,
        }
        body = zlib.compress(orjson.dumps({name: value for name, value in fields.items() if value}), 9)
        text = f"{_PREFIX}{_VERSION}.{base64.urlsafe_b64encode(body).decode().rstrip('=')}"
        return f"{text}.{_checksum(text)}"

    @classmethod
    def decode(cls, line: str) -> JoinToken:
        """Return what a token holds; blanks and line breaks that a mail program put into it do no harm.

        Raises:
            TokenUnusable: It is no token, damaged, or of another version.
        """
        text = "".join(line.split())
        found = _FORM.fullmatch(text)
        if found is None:
            what = "is damaged: a part of it is missing or changed" if text.startswith(_PREFIX) else "is none"
            raise TokenUnusable(f"the join token {what}", hint="copy the whole line that `tek token` prints")
        # the version comes first: a later one may count its checksum in another way
        if int(found["version"]) != _VERSION:
            raise TokenUnusable(
                f"the join token is of version {int(found['version'])}, and this `tek` reads version {_VERSION}",
                hint="install the same release on both machines, and print a new one with `tek token`",
            )
        if _checksum(text.rpartition(".")[0]) != found["checksum"]:
            raise _damaged()
        token = cls._of(found["body"])
        _check(token)
        return token

    @classmethod
    def _of(cls, body: str) -> JoinToken:
        try:
            unpacking = zlib.decompressobj()
            data = unpacking.decompress(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), _BODY_LIMIT_BYTES)
            if not unpacking.eof:
                raise _damaged()
            fields = orjson.loads(data)
            return cls(
                str(fields["url"]),
                tuple(map(str, fields.get("keys", ()))),
                *(str(fields.get(name, "")) for name in ("ca", "cert", "key")),
            )
        except (binascii.Error, zlib.error, orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise _damaged() from error

    def url_with(self, files: dict[str, str]) -> str:
        """Return the address with the paths of its certificates; `files` maps `ssl_…` options of the client to them."""
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query)) | files
        return parts._replace(query=urlencode(query, safe="/")).geturl()


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _damaged() -> TokenUnusable:
    return TokenUnusable("the join token is damaged", hint="copy the whole line that `tek token` prints")


def _check(token: JoinToken) -> None:
    parts = urlsplit(token.url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise TokenUnusable(
            f"`{token.address}` is no address that another machine could use",
            hint="a token needs redis:// or rediss://; `tek up --port N` lets workers in on a port",
        )
    for key in token.trusted_keys:
        if not is_public_key(key):
            raise TokenUnusable(f"`{key}` is not a public key", hint="a key is what `tek keys` prints")
