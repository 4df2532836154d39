"""How a notification reaches one target, in one attempt: a command, a signed webhook, mail, or what apprise offers."""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import orjson

from taskexec.observability.notify.addresses import Target, TargetKind

if TYPE_CHECKING:
    from taskexec.observability.notify.notices import Notice
    from taskexec.settings import NotifySettings

__all__ = ["DeliveryFailed", "DeliveryPolicy", "deliver", "policy_of", "signature"]

_OUTPUT_LIMIT = 500


class DeliveryFailed(Exception):
    """Tells that an attempt did not reach its target."""

    def __init__(self, what: str, *, is_final: bool = False) -> None:
        super().__init__(what)
        self.is_final = is_final
        """Whether another attempt would fail alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """How targets are told."""

    timeout_s: float = 10.0
    """Longest time of one attempt."""
    webhook_key: str = ""
    """Key of the signatures; empty signs nothing."""
    smtp_url: str | None = None
    """Mail server; None sends no mail."""
    sender: str = ""
    """Sender of mail; empty is tek@ and the host's name."""


def policy_of(settings: NotifySettings) -> DeliveryPolicy:
    """Return how targets are told, as the settings say."""
    return DeliveryPolicy(
        timeout_s=settings.timeout_s,
        webhook_key=settings.webhook_key,
        smtp_url=settings.smtp_url,
        sender=settings.sender,
    )


def signature(key: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a webhook: `sha256=` and the HMAC-SHA256 of timestamp, a full stop and body, in hex."""
    return "sha256=" + hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def deliver(target: Target, notice: Notice, policy: DeliveryPolicy) -> None:
    """Tell one target of one thing, once.

    Raises:
        DeliveryFailed: It was not reached, or did not accept it.
    """
    _WAYS[target.kind](target.address, notice, policy)


def _by_command(address: str, notice: Notice, policy: DeliveryPolicy) -> None:
    try:
        done = subprocess.run(
            shlex.split(address),
            input=orjson.dumps(notice.to_json()),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=policy.timeout_s,
            env={**os.environ, "TEK_EVENT": str(notice.kind)},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DeliveryFailed(f"the command did not end within {policy.timeout_s:g} s") from None
    except OSError as error:
        raise DeliveryFailed(f"the command cannot be started: {error.strerror or error}", is_final=True) from error
    if done.returncode:
        said = done.stdout[-_OUTPUT_LIMIT:].decode(errors="replace").strip()
        raise DeliveryFailed(f"the command ended with {done.returncode}{f': {said}' if said else ''}")


def _by_webhook(address: str, notice: Notice, policy: DeliveryPolicy) -> None:
    import httpx2

    body, timestamp = orjson.dumps(notice.to_json()), str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "taskexec",
        "X-Tek-Event": str(notice.kind),
        "X-Tek-Delivery": hashlib.sha256(f"{notice.run_id} {notice.key} {address}".encode()).hexdigest()[:32],
        "X-Tek-Timestamp": timestamp,
    }
    if policy.webhook_key:
        headers["X-Tek-Signature"] = signature(policy.webhook_key, timestamp, body)
    try:
        answer = httpx2.post(address, content=body, headers=headers, timeout=policy.timeout_s, follow_redirects=False)
    except httpx2.InvalidURL as error:
        raise DeliveryFailed("its address is none", is_final=True) from error
    except httpx2.HTTPError as error:  # its text may hold the address, which may hold a token
        raise DeliveryFailed(f"no answer: {type(error).__name__}") from error
    if not answer.is_success:
        is_final = answer.status_code < 500 and answer.status_code not in {408, 425, 429}
        raise DeliveryFailed(f"it answered {answer.status_code}", is_final=is_final)


def _by_mail(address: str, notice: Notice, policy: DeliveryPolicy) -> None:
    import smtplib
    from email.message import EmailMessage

    if policy.smtp_url is None:
        raise DeliveryFailed("no mail server is set: notify.smtp_url", is_final=True)
    url = urlsplit(policy.smtp_url)
    message = EmailMessage()
    message["From"] = policy.sender or f"tek@{platform.node() or 'localhost'}"
    message["To"] = address
    message["Subject"] = " ".join(notice.title.split())
    message["X-Tek-Run"] = notice.run_id
    message.set_content(notice.text + "\n")
    is_tls = url.scheme == "smtps"
    make: Callable[..., smtplib.SMTP] = smtplib.SMTP_SSL if is_tls else smtplib.SMTP
    try:
        with make(url.hostname or "localhost", url.port or (465 if is_tls else 25), timeout=policy.timeout_s) as server:
            server.ehlo()
            if not is_tls and server.has_extn("starttls"):
                server.starttls()
                server.ehlo()
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise DeliveryFailed(f"the mail server answered {error.smtp_code}", is_final=error.smtp_code >= 550) from error
    except smtplib.SMTPRecipientsRefused as error:
        raise DeliveryFailed("the mail server refused the recipient", is_final=True) from error
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryFailed(f"the mail server cannot be reached: {type(error).__name__}") from error


def _by_apprise(address: str, notice: Notice, policy: DeliveryPolicy) -> None:
    try:
        import apprise
    except ImportError as error:
        what = "the extra `notify` of taskexec is not installed, which has apprise"
        raise DeliveryFailed(what, is_final=True) from error
    sender = apprise.Apprise()
    if not sender.add(address):
        raise DeliveryFailed("apprise knows no such address", is_final=True)
    if not sender.notify(title=notice.title, body=notice.text):
        raise DeliveryFailed("apprise could not tell it")


_WAYS: Mapping[TargetKind, Callable[[str, Notice, DeliveryPolicy], None]] = MappingProxyType(
    {
        TargetKind.COMMAND: _by_command,
        TargetKind.WEBHOOK: _by_webhook,
        TargetKind.MAIL: _by_mail,
        TargetKind.APPRISE: _by_apprise,
    }
)
