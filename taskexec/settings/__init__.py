"""The settings: what can be set, within which range, and where each value came from.

A value is taken from the first of these that has it: the command line, the environment (`TEK_WORKER__LEASE_S`
or `TEK_WORKER_LEASE_S`), `tek.toml` (in the current folder or its nearest parent, or the file that `--config`
or `TEK_CONFIG` names), `config/environments/<name>.toml` beside it (`--env` or `TEK_ENV`), the default.

Relative paths in a file are relative to the folder of `tek.toml`; all others to the current folder. An empty
environment variable counts as not set.
"""

from taskexec.settings.areas import (
    ApiSettings,
    ClusterSettings,
    EmbeddedSettings,
    EvidenceSettings,
    FlowerSettings,
    LimitsSettings,
    MetricsSettings,
    RedisSettings,
    RunSettings,
    SecuritySettings,
    WorkerSettings,
)
from taskexec.settings.lookup import (
    RESERVED_VARIABLES,
    SHORT_VARIABLES,
    Lookup,
    Origin,
    Settings,
    SettingsRejected,
    explain_settings,
    load_settings,
)
from taskexec.settings.tables import Written
from taskexec.settings.telling import LogSettings, NotifySettings, TraceSettings

__all__ = [
    "RESERVED_VARIABLES",
    "SHORT_VARIABLES",
    "ApiSettings",
    "ClusterSettings",
    "EmbeddedSettings",
    "EvidenceSettings",
    "FlowerSettings",
    "LimitsSettings",
    "LogSettings",
    "Lookup",
    "MetricsSettings",
    "NotifySettings",
    "Origin",
    "RedisSettings",
    "RunSettings",
    "SecuritySettings",
    "Settings",
    "SettingsRejected",
    "TraceSettings",
    "WorkerSettings",
    "Written",
    "explain_settings",
    "load_settings",
]
