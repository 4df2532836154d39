"""Joining by token: where a token is read from, and the settings that it becomes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from taskexec.errors import UsageError

if TYPE_CHECKING:
    from taskexec.domain.join import JoinToken
    from taskexec.settings import Settings

__all__ = ["JOIN_VARIABLE", "joined", "read_token", "write_secret"]

JOIN_VARIABLE = "TEK_JOIN"
"""Environment variable with a token, or `@` and the file that holds one; no task sees it."""

_FOLDER = "join"


def joined(settings: Settings, join: str | None) -> Settings:
    """Return settings with the server and the trusted keys of a token; without one, as they are.

    Args:
        settings: What is set otherwise; its trusted keys stay.
        join: Token, or `@` and its file, whose server counts for more than that of the settings; None takes
            `TEK_JOIN`, whose server counts for less.

    Raises:
        TokenUnusable: It is no token, damaged, or of another version.
        UsageError: Its file cannot be read.
    """
    given = join or os.environ.get(JOIN_VARIABLE)
    if not given:
        return settings
    token = read_token(given)
    url = settings.redis.url if join is None and settings.redis.url else _usable_url(token, settings)
    redis = settings.redis.model_copy(update={"url": url})
    keys = dict.fromkeys((*settings.security.trusted(), *token.trusted_keys))
    security = settings.security.model_copy(update={"trusted_keys": ",".join(keys)})
    return settings.model_copy(update={"redis": redis, "security": security})


def read_token(given: str) -> JoinToken:
    """Return the token that stands in a text, or in the file behind its `@`.

    Raises:
        TokenUnusable: It is no token, damaged, or of another version.
        UsageError: The file cannot be read.
    """
    from taskexec.domain.join import JoinToken

    if not given.startswith("@"):
        return JoinToken.decode(given)
    path = Path(given[1:]).expanduser()
    try:
        return JoinToken.decode(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise UsageError(
            f"the join token in `{path}` cannot be read: {error.strerror or error}",
            hint="`--join @FILE` reads a file, `--join TOKEN` takes the line itself",
        ) from error


def _usable_url(token: JoinToken, settings: Settings) -> str:
    """Return the token's address; its certificates are put into a private folder of this user, for the TLS library."""
    texts = {"ssl_ca_certs": token.authority, "ssl_certfile": token.certificate, "ssl_keyfile": token.private_key}
    held = {option: text for option, text in texts.items() if text}
    if not held:
        return token.url
    digest = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()[:16]
    folder = settings.embedded.state_folder(os.environ).absolute() / _FOLDER / digest
    files = {option: folder / f"{option}.pem" for option in held}
    for option, text in held.items():
        write_secret(files[option], text)
    return token.url_with({option: str(path) for option, path in files.items()})


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Raises:
        UsageError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        raise UsageError(
            f"`{path}` cannot be written: {error.strerror or error}",
            hint="name another folder: embedded.data_dir (TEK_EMBEDDED__DATA_DIR) for certificates, --save for tokens",
        ) from error
