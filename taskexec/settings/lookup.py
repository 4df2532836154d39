"""Looking settings up: the sources in their order, where each value came from, and what is wrong with them."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from taskexec.domain.address import mask_url
from taskexec.errors import Fault, InputError, Place, UsageError
from taskexec.settings.areas import (
    ApiSettings,
    Area,
    ClusterSettings,
    EmbeddedSettings,
    EvidenceSettings,
    FlowerSettings,
    LimitsSettings,
    MetricsSettings,
    PlanSettings,
    RedisSettings,
    RunSettings,
    SecuritySettings,
    WorkerSettings,
    expand,
    is_path,
)
from taskexec.settings.tables import TABLES, Written, plain_table, put_into_table, split_table_key, toml_value
from taskexec.settings.telling import LogSettings, NotifySettings, TraceSettings

__all__ = ["Lookup", "Origin", "Settings", "SettingsRejected", "explain_settings", "load_settings"]

RESERVED_VARIABLES = frozenset(
    f"TEK_{name}"
    for name in (
        *("RUN", "TASK", "ATTEMPT", "INPUTS", "OUTPUT", "RESULT", "WORKER"),  # given to tasks
        *("SLOT", "WORKER_SPEC"),  # given to processes of ours
        *("CONFIG", "ENV", "DEBUG", "JOIN"),  # steer the command itself
    )
)
"""Variables of ours that are not settings."""

SHORT_VARIABLES = {"TEK_LEASE_S": "worker.lease_s", "TEK_RUNS_DIR": "evidence.runs_dir"}
"""Shorter names of the two settings that are set most."""

_SECRET_KEYS = frozenset({"redis.url", "notify.smtp_url"})
_HIDDEN_KEYS = frozenset({"notify.targets", "notify.webhook_key"})
"""Settings whose whole value may be a secret."""
_LOOKUP = "lookup"


class Settings(BaseSettings):
    """All settings, by area; made from the sources that the module names, in their order.

    `Settings()` looks into the environment and the files of the current folder, as `load_settings()` does.

    Raises:
        SettingsRejected: Values are unknown or out of range; all of them are listed.
        UsageError: A file that was asked for is not there or cannot be read.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        env_prefix="TEK_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )

    redis: RedisSettings = RedisSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitsSettings = LimitsSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    flower: FlowerSettings = FlowerSettings()
    api: ApiSettings = ApiSettings()
    metrics: MetricsSettings = MetricsSettings()
    cluster: ClusterSettings = ClusterSettings()
    plan: PlanSettings = PlanSettings()
    run: RunSettings = RunSettings()
    security: SecuritySettings = SecuritySettings()
    log: LogSettings = LogSettings()
    trace: TraceSettings = TraceSettings()
    notify: NotifySettings = NotifySettings()

    def __init__(self, lookup: Lookup | None = None, **values: Any) -> None:
        """Look up all values; those given here win over all others."""
        lookup = Lookup(values) if lookup is None else lookup
        # the sources are made by the class, before there is an object; a named value is what reaches them
        passed_on: dict[str, Any] = {_LOOKUP: lookup}
        try:
            super().__init__(**passed_on)
        except ValidationError as error:
            lookup.faults += [_value_fault(lookup, detail) for detail in error.errors(include_url=False)]
        if lookup.faults:
            raise SettingsRejected(lookup.faults)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return our sources, the strongest first."""
        assert isinstance(init_settings, InitSettingsSource)
        lookup: Lookup = init_settings.init_kwargs[_LOOKUP]
        # made weakest first: the last origin that is noted of a value is the one that counts
        files = [_FileSource(settings_cls, lookup, path, base) for path, base in lookup.files()]
        environment = _EnvironmentSource(settings_cls, lookup)
        return _CommandLineSource(settings_cls, lookup), environment, *reversed(files)


class SettingsRejected(InputError):
    """Settings that are unknown or out of range; all of them are listed and nothing was started."""

    code = "settings"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = tuple(faults)
        super().__init__(f"{len(self._faults)} faults in the settings")

    def faults(self) -> Sequence[Fault]:
        """Return all of them."""
        return self._faults


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting, its value, and where the value came from."""

    key: str
    """`area.field`."""
    value: str | int | float | bool | Mapping[str, Any] | None
    """As JSON can hold it, passwords masked."""
    origin: str
    """`command line`, `environment TEK_LEASE_S`, `tek.toml:3` or `default`."""
    description: str
    """What the setting means, with its unit."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A value as one layer gives it."""

    key: str
    value: object
    origin: str
    place: Place | None = None


class Lookup:
    """One look at all sources: where it searches, what it found there, and what was wrong with it."""

    def __init__(
        self,
        overrides: Mapping[str, object] | None = None,
        *,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        environment: str | None = None,
        config: Path | None = None,
    ) -> None:
        """Prepare a look; arguments are those of `load_settings`."""
        self.overrides = overrides or {}
        self.cwd = Path.cwd() if cwd is None else cwd.absolute()
        self.environ = os.environ if environ is None else environ
        self.environment = environment or self.environ.get("TEK_ENV")
        self.config = config or self.environ.get("TEK_CONFIG")
        self.values: dict[str, _Value] = {}
        """The value of each setting that is not left to its default, with its origin."""
        self.faults: list[Fault] = []

    def files(self) -> Iterator[tuple[Path, Path]]:
        """Yield each file to read and the folder that its paths are relative to, the weakest first."""
        config = _find_config(self.cwd, self.config)
        if self.environment:
            named = _find_environment(self.environment, self.cwd if config is None else config.parent)
            yield named, named.parents[2]
        if config is not None:
            yield config, config.parent

    def take(self, values: Iterable[_Value]) -> dict[str, Any]:
        """Note values and return them by area; one that is no setting becomes a fault."""
        nested: dict[str, Any] = {}
        for value in values:
            if value.key in _DESCRIPTIONS:
                area, _, name = value.key.partition(".")
                nested.setdefault(area, {})[name] = value.value
                self.values[value.key] = value
            elif (entry := split_table_key(value.key)) is not None:
                area, _, name = entry[0].partition(".")
                written = Written(value.value, value.place or Place(value.origin))
                table = nested.setdefault(area, {}).setdefault(name, {})
                if isinstance(table, dict):  # else the command line says something else of the whole table, and is told
                    put_into_table(table, entry[1], written)
                self.values[entry[0]] = value
            else:
                self.faults.append(_unknown_fault(value))
        return nested


def _unknown_fault(value: _Value) -> Fault:
    where = "" if value.place else f" ({value.origin})"
    return Fault(
        "settings.unknown",
        f"`{value.key}` is not a setting{where}",
        (value.place,) if value.place else (),
        _suggest(value.key, _DESCRIPTIONS),
    )


class _CommandLineSource(InitSettingsSource):
    """Values of the command line, or those that `Settings` was made with."""

    def __init__(self, settings_cls: type[BaseSettings], lookup: Lookup) -> None:
        pairs = (pair for pair in _flatten(lookup.overrides) if pair[1] is not None)
        values = (_Value(key, _said(key, value), "command line") for key, value in pairs)
        super().__init__(settings_cls, lookup.take(values))


def _said(key: str, value: object) -> object:
    """Return what a value of the command line means: an empty text nothing, and a text within a table a TOML value."""
    if isinstance(value, str) and split_table_key(key) is not None:
        return toml_value(value)
    return None if value == "" else value


class _EnvironmentSource(EnvSettingsSource):
    """Variables, by any of the names of a setting; one that looks like a setting and is none is a fault."""

    def __init__(self, settings_cls: type[BaseSettings], lookup: Lookup) -> None:
        self._lookup = lookup
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        environ = self._lookup.environ
        found = {name: key for name, key in _VARIABLES.items() if environ.get(name)}
        self._lookup.take(_Value(key, environ[name], f"environment {name}") for name, key in found.items())
        areas = tuple(f"TEK_{area.upper()}_" for area in _AREAS)
        for name in sorted(environ):
            if name.startswith(areas) and name not in _VARIABLES and name not in RESERVED_VARIABLES:
                message = f"the environment variable `{name}` is not a setting"
                self._lookup.faults.append(Fault("settings.unknown", message, (), _suggest(name, _VARIABLES)))
        return {f"tek_{key.replace('.', '__')}": environ[name] for name, key in found.items()}


class _FileSource(TomlConfigSettingsSource):
    """Values of a TOML file with their lines; relative paths in it are relative to `base`."""

    def __init__(self, settings_cls: type[BaseSettings], lookup: Lookup, path: Path, base: Path) -> None:
        self._lookup = lookup
        self._base = base
        super().__init__(settings_cls, path)

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        cwd = self._lookup.cwd
        shown = str(file_path.relative_to(cwd) if file_path.is_relative_to(cwd) else file_path)
        try:
            text = file_path.read_text(encoding="utf-8-sig")
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self._lookup.faults.append(_syntax_fault(shown, str(error)))
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"`{shown}` cannot be read: {error}") from error
        return self._lookup.take(self._values(shown, text, content))

    def _values(self, shown: str, text: str, content: Mapping[str, object]) -> Iterator[_Value]:
        for key, value in _flatten(content):
            place = Place(shown, _find_line(text, key))
            if key in _PATH_KEYS and isinstance(value, str) and self._base != self._lookup.cwd:
                value = str(self._base / expand(value))
            yield _Value(key, value, str(place), place)


_AREAS: dict[str, type[Area]] = {
    name: info.annotation
    for name, info in Settings.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Area)
}
_DESCRIPTIONS = {
    f"{area}.{name}": str(info.description)
    for area, model in _AREAS.items()
    for name, info in model.model_fields.items()
}
_PATH_KEYS = frozenset(
    f"{area}.{name}"
    for area, model in _AREAS.items()
    for name, info in model.model_fields.items()
    if is_path(info.annotation)
)
_OF_VARIABLES = [key for key in _DESCRIPTIONS if key not in TABLES]
_VARIABLES = (
    SHORT_VARIABLES
    | {"TEK_" + key.replace(".", "_").upper(): key for key in _OF_VARIABLES}
    | {"TEK_" + key.replace(".", "__").upper(): key for key in _OF_VARIABLES}
)
"""Variable -> key; of several names of one setting, the last one here wins. Tables have none."""


def load_settings(
    overrides: Mapping[str, object] | None = None,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
    config: Path | None = None,
) -> Settings:
    """Return the settings that hold here.

    Args:
        overrides: Values of the command line, nested (`{"worker": {"lease_s": 5}}`) or dotted
            (`{"worker.lease_s": 5}`). None means not given; an empty text means none.
        cwd: Folder to search from; None is the current one.
        environ: Variables; None is those of this process.
        environment: Name of the file in `config/environments`; None takes `TEK_ENV`.
        config: File to read instead of the nearest `tek.toml`; None takes `TEK_CONFIG`.

    Raises:
        SettingsRejected: Values are unknown or out of range; all of them are listed.
        UsageError: A file that was asked for is not there or cannot be read.
    """
    return Settings(Lookup(overrides, cwd=cwd, environ=environ, environment=environment, config=config))


def explain_settings(
    overrides: Mapping[str, object] | None = None,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
    config: Path | None = None,
) -> list[Origin]:
    """Return each setting with its value and origin, by area; arguments and errors are `load_settings`'s."""
    lookup = Lookup(overrides, cwd=cwd, environ=environ, environment=environment, config=config)
    settings = Settings(lookup)
    return [
        Origin(
            key,
            _plain(key, getattr(getattr(settings, key.partition(".")[0]), key.partition(".")[2])),
            lookup.values[key].origin if key in lookup.values else "default",
            description,
        )
        for key, description in _DESCRIPTIONS.items()
    ]


def _find_config(cwd: Path, asked_for: Path | str | None) -> Path | None:
    """Return the file that was asked for, else the nearest `tek.toml`, else None."""
    if asked_for:
        path = cwd / asked_for
        if not path.is_file():
            raise UsageError(f"settings file `{asked_for}` is not there", hint="see `--config`, `TEK_CONFIG`")
        return path
    absolute = cwd.absolute()
    candidates = (folder / "tek.toml" for folder in (absolute, *absolute.parents))
    return next((path for path in candidates if path.is_file()), None)


def _find_environment(name: str, base: Path) -> Path:
    """Return the file of a named environment."""
    folder = base.absolute() / "config" / "environments"
    path = folder / f"{name}.toml"
    if re.fullmatch(r"\w[\w.-]*", name) and path.is_file():
        return path
    known = sorted(file.stem for file in folder.glob("*.toml"))
    there = ", ".join(f"`{stem}`" for stem in known) or "none"
    raise UsageError(
        f"there is no environment `{name}` in {folder}",
        hint=_suggest(name, known) or f"environments there: {there}",
    )


def _syntax_fault(file: str, message: str) -> Fault:
    """Return what tomllib says, with its place as a place."""
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    line, column = (int(match[1]), int(match[2])) if match and match[1] else (0, 0)
    what = message[: match.start()] if match else message
    return Fault("settings.syntax", f"`{file}` is not TOML: {what}", (Place(file, line, column),))


def _find_line(text: str, key: str) -> int:
    """Return the line of the longest written prefix of a dotted key, from 1, or 0.

    A simple search: a line inside a multi-line text may mislead it.
    """
    section, best, found = "", 0, 0
    key = re.sub(r"[\s\"']", "", key)
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        header = re.fullmatch(r"\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?", stripped)
        entry = re.match(r"([\w.\"'-]+(?:\s*\.\s*[\w\"'-]+)*)\s*=", stripped)
        if header:
            section = re.sub(r"[\s\"']", "", header[1])
        written = section if header else ""
        if entry:
            written = ".".join(filter(None, [section, re.sub(r"[\s\"']", "", entry[1])]))
        if written and len(written) > best and f"{key}.".startswith(f"{written}."):
            best, found = len(written), number
    return found


def _flatten(content: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield dotted keys and values."""
    for name, value in content.items():
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_unset=True)
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _value_fault(lookup: Lookup, detail: ErrorDetails) -> Fault:
    """Return what pydantic found, in our words."""
    key = ".".join(str(part) for part in detail["loc"][:2])
    value = lookup.values[key]
    expected = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    where = "" if value.place else f" ({value.origin})"
    return Fault(
        "settings.value",
        f"`{key}` is `{_plain(key, value.value)}`{where}, but {expected}",
        (value.place,) if value.place else (),
        f"`{key}`: {_DESCRIPTIONS[key]}",
    )


def _plain(key: str, value: Any) -> Any:
    """Return a value as JSON can hold it, with no secret in it."""
    if key in _SECRET_KEYS and isinstance(value, str):
        return mask_url(value)
    if key in _HIDDEN_KEYS and value:
        return " ".join(f"{scheme}://***" for scheme in re.findall(r"([a-z][a-z0-9+.-]*)://", str(value))) or "***"
    if isinstance(value, Mapping):
        return plain_table(value)
    return str(value) if isinstance(value, Path) else value


def _suggest(name: str, known: Iterable[str]) -> str | None:
    """Return a hint with the nearest known name."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"did you mean `{close[0]}`?" if close else None
