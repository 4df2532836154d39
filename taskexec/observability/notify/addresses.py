"""Whom a notification goes to: targets that settings name, and stakeholders that a plan names and settings allow."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

__all__ = ["Target", "TargetKind", "allowed_stakeholders", "command_target", "parse_target", "targets_of"]

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")
_MAX_STAKEHOLDERS = 100


class TargetKind(StrEnum):
    """How a target is reached."""

    COMMAND = "command"
    WEBHOOK = "webhook"
    MAIL = "mail"
    APPRISE = "apprise"


@dataclass(frozen=True, slots=True)
class Target:
    """One target."""

    kind: TargetKind
    address: str
    """URL, mail address, or command line."""

    @property
    def digest(self) -> str:
        """What stands for it where nothing of its address may stand, such as in a run's folder."""
        return hashlib.sha256(f"{self.kind} {self.address}".encode()).hexdigest()[:16]

    @property
    def shown(self) -> str:
        """Return it for people: of an address that may hold a token only its beginning."""
        if self.kind is TargetKind.MAIL:
            return self.address
        if self.kind is TargetKind.COMMAND:
            return f"command {shlex.split(self.address)[0]}"
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{(parts.hostname or '') if self.kind is TargetKind.WEBHOOK else ''}…"


def parse_target(address: str) -> Target:
    """Return the target of an address as settings hold it."""
    if address.startswith("mailto:") and not address.startswith("mailto://"):
        return Target(TargetKind.MAIL, address.removeprefix("mailto:"))
    if address.startswith(("http://", "https://")):
        return Target(TargetKind.WEBHOOK, address)
    return Target(TargetKind.APPRISE, address)


def command_target(command: str) -> Target:
    """Return the target that is a command line."""
    return Target(TargetKind.COMMAND, command)


def targets_of(targets: str, command: str) -> tuple[Target, ...]:
    """Return the targets of the settings `notify.targets` and `notify.command`."""
    found = [parse_target(address) for address in targets.split()]
    return (*found, *([command_target(command)] if command else []))


def allowed_stakeholders(names: Iterable[str], patterns: Sequence[str]) -> tuple[Target, ...]:
    """Return those of a plan's stakeholders that may be told: mail addresses and webhooks that a pattern allows.

    A pattern of a webhook is taken apart as its address is: scheme, host and port must be the same (a host may be a
    pattern), and the path match; an address with a user in it is never allowed.
    """
    found: dict[Target, None] = {}
    for text in names:
        for name in re.split(r"[\s,;]+", text):
            target = _stakeholder(name.strip("<>"), patterns)
            if target is not None and len(found) < _MAX_STAKEHOLDERS:
                found[target] = None
    return tuple(found)


def _stakeholder(name: str, patterns: Sequence[str]) -> Target | None:
    if _MAIL.fullmatch(name):
        is_allowed = any("://" not in one and fnmatchcase(name.lower(), one.lower()) for one in patterns)
        return Target(TargetKind.MAIL, name) if is_allowed else None
    if name.startswith(("http://", "https://")) and any(_matches(name, one) for one in patterns):
        return Target(TargetKind.WEBHOOK, name)
    return None


def _matches(url: str, pattern: str) -> bool:
    try:
        one, other = urlsplit(url), urlsplit(pattern)
        ports = one.port, other.port
    except ValueError:
        return False
    if "@" in one.netloc or not one.hostname or not other.hostname or "\\" in url:
        return False
    if one.scheme != other.scheme or ports[0] != ports[1] or ".." in one.path:
        return False
    return fnmatchcase(one.hostname, other.hostname) and fnmatchcase(one.path or "/", other.path or "/")
