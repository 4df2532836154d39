"""The areas of settings about what is told: log lines, traces, notifications."""

from __future__ import annotations

import re
import shlex
from typing import Literal

from pydantic import Field, field_validator

from taskexec.settings.areas import Area

__all__ = ["LogSettings", "NotifySettings", "TraceSettings"]

_TARGET = re.compile(r"mailto:[^\s@,;<>\"]+@[\w.-]+|[a-z][a-z0-9+.-]*://\S+", re.ASCII)
_EVENTS = ("run_ended", "task_failed", "deadline_in_danger", "approval_wanted")


class LogSettings(Area):
    """How log lines look, and which are written."""

    format: Literal["auto", "human", "json"] = Field(
        default="auto", description="Form of log lines: `human`, `json`, or `auto`: for people on a terminal, else JSON"
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="Least weight of a log line that is written: debug, info, warning or error"
    )


class TraceSettings(Area):
    """Where OpenTelemetry traces go; none are made without an address."""

    endpoint: str | None = Field(
        default=None,
        description="Address of an OTLP receiver, such as http://127.0.0.1:4318; none is OTEL_EXPORTER_OTLP_ENDPOINT, "
        "and no traces without that",
    )
    sample_ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the runs that are traced, 0 to 1; none is what OTEL_TRACES_SAMPLER says, or all",
    )
    timeout_s: float = Field(
        default=2.0, gt=0, le=60, description="Longest wait for the receiver, in seconds; what it does not take is lost"
    )

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise ValueError("should start with http:// or https://")
        return endpoint


class NotifySettings(Area):
    """Who is told of what happens to runs, and how."""

    targets: str = Field(
        default="",
        repr=False,  # many hold a token
        description="Who is told, separated by blanks (in files a list): https:// for a webhook, mailto:a@b.example, "
        "or an address of apprise such as slack://…",
    )
    command: str = Field(default="", description="Command that is told: it gets each event as JSON on standard input")
    events: str = Field(
        default=",".join(_EVENTS),
        description=f"Of what they are told, separated by commas (in files a list): {', '.join(_EVENTS)}",
    )
    stakeholders: str = Field(
        default="",
        description="Which `stakeholders` of a plan are told as well, separated by blanks (in files a list): patterns "
        "such as *@example.org or https://hooks.example.org/*; empty is none",
    )
    failures_max: int = Field(
        default=10, ge=0, le=1000, description="Most failed tasks of one run that are told one by one"
    )
    webhook_key: str = Field(
        default="", repr=False, description="Key that webhooks are signed with (HMAC-SHA256); empty signs none"
    )
    smtp_url: str | None = Field(
        default=None,
        repr=False,  # may hold a password
        description="Mail server, as smtp://user:password@host:587 or smtps://; none sends no mail",
    )
    sender: str = Field(default="", max_length=200, description="Sender of mail; empty is tek@ and the host's name")
    attempts: int = Field(default=4, ge=1, le=20, description="Attempts at telling one target of one event")
    timeout_s: float = Field(default=10.0, gt=0, le=600, description="Longest time of one attempt, in seconds")
    patience_s: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="So long the end of a command waits for what is yet to be told, in s",
    )

    @property
    def is_wanted(self) -> bool:
        """Whether anybody may have to be told."""
        return bool(self.targets or self.command or self.stakeholders)

    @field_validator("targets", "stakeholders", mode="before")
    @classmethod
    def _join_blank(cls, value: object) -> object:
        return " ".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("events", mode="before")
    @classmethod
    def _join_comma(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("command", mode="before")
    @classmethod
    def _join_command(cls, value: object) -> object:
        return shlex.join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("targets")
    @classmethod
    def _check_targets(cls, text: str) -> str:
        for number, target in enumerate(text.split(), 1):
            if not _TARGET.fullmatch(target):  # its text may hold a token
                raise ValueError(
                    f"number {number} should be an address such as https://…, mailto:a@b.example, slack://…"
                )
        return " ".join(text.split())

    @field_validator("command")
    @classmethod
    def _check_command(cls, text: str) -> str:
        shlex.split(text)
        return text

    @field_validator("events")
    @classmethod
    def _check_events(cls, text: str) -> str:
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in _EVENTS:
                raise ValueError(f"`{name}` should be one of {', '.join(_EVENTS)}")
        return ",".join(names)

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"smtps?://\S+", url):
            raise ValueError("should start with smtp:// or smtps://")
        return url
