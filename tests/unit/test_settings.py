"""Tests of the settings: which layer wins, what is refused, and what is told about origins."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from taskexec.domain.address import mask_url
from taskexec.errors import Fault, Place, UsageError
from taskexec.settings import (
    RESERVED_VARIABLES,
    Settings,
    SettingsRejected,
    WorkerSettings,
    Written,
    explain_settings,
    load_settings,
)

Write = Callable[[str, str], Path]

DEFAULTS = load_settings(cwd=Path("/"), environ={})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file below the current folder of the test."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def faults_of(
    cwd: Path, overrides: dict[str, object] | None = None, environ: dict[str, str] | None = None
) -> list[Fault]:
    with pytest.raises(SettingsRejected) as rejected:
        load_settings(overrides, cwd=cwd, environ=environ or {})
    return list(rejected.value.faults())


def origin_of(key: str, cwd: Path, environ: dict[str, str] | None = None) -> str:
    origins = explain_settings(cwd=cwd, environ=environ or {})
    return next(origin.origin for origin in origins if origin.key == key)


def test_defaults_hold_where_nothing_is_said(tmp_path: Path) -> None:
    assert load_settings(cwd=tmp_path, environ={}) == DEFAULTS


def test_each_layer_wins_over_the_next(tmp_path: Path, write: Write) -> None:
    write("config/environments/big.toml", "[worker]\nlease_s = 2\nbatch_max = 2\nrestart_limit = 2\n")
    write("tek.toml", "[worker]\nlease_s = 3\nbatch_max = 3\n")
    environ = {"TEK_ENV": "big", "TEK_WORKER__LEASE_S": "4"}

    from_variable = load_settings(cwd=tmp_path, environ=environ)
    from_command_line = load_settings({"worker.lease_s": "5"}, cwd=tmp_path, environ=environ)

    assert from_command_line.worker.lease_s == 5
    assert from_variable.worker.lease_s == 4
    assert from_variable.worker.batch_max == 3
    assert from_variable.worker.restart_limit == 2


@pytest.mark.parametrize("name", ["TEK_WORKER__LEASE_S", "TEK_WORKER_LEASE_S", "TEK_LEASE_S"])
def test_variable_has_friendly_names(name: str, tmp_path: Path) -> None:
    assert load_settings(cwd=tmp_path, environ={name: "7"}).worker.lease_s == 7
    assert origin_of("worker.lease_s", tmp_path, {name: "7"}) == f"environment {name}"


def test_overrides_may_be_nested_and_none_is_not_given(tmp_path: Path) -> None:
    settings = load_settings({"worker": {"lease_s": 6, "batch_max": None}}, cwd=tmp_path, environ={})

    assert settings.worker.lease_s == 6
    assert settings.worker.batch_max == DEFAULTS.worker.batch_max


def test_empty_override_means_none(tmp_path: Path, write: Write) -> None:
    write("tek.toml", 'redis.url = "redis://there"\n')

    assert load_settings({"redis.url": ""}, cwd=tmp_path, environ={}).redis.url is None


def test_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert load_settings(cwd=tmp_path, environ={"TEK_REDIS_URL": ""}).redis.url is None


def test_variables_of_tasks_are_no_settings(tmp_path: Path) -> None:
    environ = dict.fromkeys(RESERVED_VARIABLES - {"TEK_CONFIG", "TEK_ENV"}, "x")

    assert load_settings(cwd=tmp_path, environ=environ) == DEFAULTS


def test_nearest_file_is_found_and_its_paths_are_relative_to_it(tmp_path: Path, write: Write) -> None:
    write("tek.toml", "[worker]\nlease_s = 1\n")
    write("a/tek.toml", '[evidence]\nruns_dir = "kept"\n')
    below = tmp_path / "a" / "b"
    below.mkdir()

    settings = load_settings(cwd=below, environ={})

    assert settings.evidence.runs_dir == tmp_path / "a" / "kept"
    assert settings.worker.lease_s == DEFAULTS.worker.lease_s


def test_named_file_takes_the_place_of_the_nearest(tmp_path: Path, write: Write) -> None:
    write("tek.toml", "[worker]\nlease_s = 1\n")
    write("other.toml", "[worker]\nlease_s = 2\n")

    by_argument = load_settings(cwd=tmp_path, environ={}, config=Path("other.toml"))
    by_variable = load_settings(cwd=tmp_path, environ={"TEK_CONFIG": "other.toml"})

    assert by_argument.worker.lease_s == by_variable.worker.lease_s == 2


@pytest.mark.parametrize("name", ["produktion", "../secret", ""])
def test_missing_environment_is_refused_only_when_asked_for(name: str, tmp_path: Path, write: Write) -> None:
    write("config/environments/production.toml", "")
    write("config/secret.toml", "")

    if not name:
        assert load_settings(cwd=tmp_path, environ={"TEK_ENV": ""}) == DEFAULTS
        return
    with pytest.raises(UsageError) as refused:
        load_settings(cwd=tmp_path, environ={}, environment=name)
    assert "production" in str(refused.value.hint)


def test_missing_file_is_refused_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load_settings(cwd=tmp_path, environ={}, config=Path("none.toml"))


def test_all_faults_are_told_at_once_with_their_lines(tmp_path: Path, write: Write) -> None:
    write("tek.toml", "# ours\n[worker]\nleese_s = 1\nbatch_max = 1000\n[flower]\nport = true\n")

    faults = faults_of(tmp_path, {"run.fail_fast": "perhaps"}, {"TEK_WORKER_LEASE": "1"})

    told = {(fault.code, *(str(place) for place in fault.places)) for fault in faults}
    assert told == {
        ("settings.unknown", "tek.toml:3"),
        ("settings.unknown",),
        ("settings.value", "tek.toml:4"),
        ("settings.value", "tek.toml:6"),
        ("settings.value",),
    }
    hints = [fault.hint for fault in faults if fault.code == "settings.unknown"]
    assert hints == ["did you mean `worker.lease_s`?", "did you mean `TEK_WORKER_LEASE_S`?"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\nworker.lease_s = 0\n", 2),
        ("\n\nworker = { lease_s = 0 }\n", 3),
        ("[redis]\nsocket_timeout_s = 9\n[ worker ]\n'lease_s' = 0\n", 4),
    ],
)
def test_line_is_found_however_the_key_is_written(text: str, line: int, tmp_path: Path, write: Write) -> None:
    write("tek.toml", text)

    (fault,) = faults_of(tmp_path)

    assert fault.places[0].line == line


def test_broken_file_is_told_with_line_and_column(tmp_path: Path, write: Write) -> None:
    write("tek.toml", "[worker]\nlease_s = = 1\n")

    (fault,) = faults_of(tmp_path)

    assert fault.code == "settings.syntax"
    assert (fault.places[0].line, fault.places[0].column) == (2, 11)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[[worker]]\nlease_s = 1\n", b"worker = 3\n", b"[worker.lease_s]\na = 1\n"]
)
def test_no_file_ends_in_a_traceback(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tek.toml").write_bytes(content)

    with pytest.raises((SettingsRejected, UsageError)):
        load_settings(cwd=tmp_path, environ={})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("worker.lease_s", "0.4"),
        ("worker.lease_s", "nan"),
        ("worker.lease_s", "inf"),
        ("worker.batch_max", "0"),
        ("worker.batch_max", "257"),
        ("worker.concurrency", "0"),
        ("worker.concurrency", True),
        ("embedded.appendfsync", "sometimes"),
        ("redis.url", "http://there"),
        ("redis.url", "redis://:pass/word@there"),
        ("flower.port", "70000"),
        ("evidence.retention_s", "1"),
    ],
)
def test_value_out_of_range_is_refused(key: str, value: object, tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, {key: value})

    assert fault.code == "settings.value"
    assert key in fault.message


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        DEFAULTS.worker.lease_s = 1.0
    with pytest.raises(ValidationError):
        DEFAULTS.worker = DEFAULTS.worker


def test_settings_are_those_of_pydantic() -> None:
    assert issubclass(Settings, BaseSettings)


def test_bare_settings_look_into_the_environment_and_the_folder(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("tek.toml", "[worker]\nlease_s = 3\nbatch_max = 3\nrestart_limit = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEK_LEASE_S", "4")
    monkeypatch.setenv("TEK_WORKER__BATCH_MAX", "4")

    settings = Settings(worker=WorkerSettings(lease_s=5))

    worker = settings.worker
    assert (worker.lease_s, worker.batch_max, worker.restart_limit) == (5, 4, 3)


def test_bare_settings_refuse_what_they_are_given_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsRejected) as rejected:
        Settings(worker={"lease_s": 0}, wroker={"lease_s": 1})

    assert {fault.code for fault in rejected.value.faults()} == {"settings.value", "settings.unknown"}


@pytest.mark.parametrize("name", ["TEK_WORKER", "TEK_RUN", "TEK_SLOT", "TEK_WORKER_SPEC"])
def test_variable_of_ours_named_like_an_area_is_no_setting(name: str, tmp_path: Path) -> None:
    assert load_settings(cwd=tmp_path, environ={name: "x"}) == DEFAULTS


def test_variable_with_underscores_twice_wins_over_the_others(tmp_path: Path) -> None:
    environ = {"TEK_LEASE_S": "1", "TEK_WORKER_LEASE_S": "2", "TEK_WORKER__LEASE_S": "3"}

    assert load_settings(cwd=tmp_path, environ=environ).worker.lease_s == 3
    assert origin_of("worker.lease_s", tmp_path, environ) == "environment TEK_WORKER__LEASE_S"


@pytest.mark.parametrize("value", ["null", "[1]", '{"a": 1}', "true"])
def test_variable_is_text_even_where_it_looks_like_json(value: str, tmp_path: Path) -> None:
    settings = load_settings(cwd=tmp_path, environ={"TEK_FLOWER__HOST": value})

    assert settings.flower.host == value


def test_home_folder_is_resolved_in_every_layer(tmp_path: Path, write: Write) -> None:
    write("tek.toml", '[embedded]\ndata_dir = "~/data"\n')

    settings = load_settings({"worker.project_dir": "~"}, cwd=tmp_path, environ={"TEK_RUNS_DIR": "~/runs"})

    assert settings.embedded.data_dir == Path.home() / "data"
    assert settings.worker.project_dir == Path.home()
    assert settings.evidence.runs_dir == Path.home() / "runs"


def test_file_that_a_stronger_layer_makes_right_is_no_fault(tmp_path: Path, write: Write) -> None:
    write("tek.toml", "[worker]\nlease_s = 0\n")

    assert load_settings({"worker.lease_s": 2}, cwd=tmp_path, environ={}).worker.lease_s == 2


def test_every_setting_is_explained(tmp_path: Path, write: Write) -> None:
    write("tek.toml", "[worker]\nlease_s = 3\n")

    origins = explain_settings(cwd=tmp_path, environ={"TEK_RUNS_DIR": "kept"})

    assert all(origin.description for origin in origins)
    assert {origin.key: origin.origin for origin in origins if origin.origin != "default"} == {
        "worker.lease_s": "tek.toml:2",
        "evidence.runs_dir": "environment TEK_RUNS_DIR",
    }


@pytest.mark.parametrize(
    "url",
    [
        "redis://:geheim@there:6379/0",
        "redis://user:geheim@there",
        "redis://user:ge@geheim@there",
        "user:geheim@there",
        "unix:///run/server.sock?db=0&password=geheim",
        "redis://:pa/geheim@there",
    ],
)
def test_passwords_are_masked_wherever_they_are_shown(url: str, tmp_path: Path) -> None:
    try:
        shown = repr(explain_settings({"redis.url": url}, cwd=tmp_path, environ={}))
        shown += repr(load_settings({"redis.url": url}, cwd=tmp_path, environ={}))
    except SettingsRejected as rejected:
        shown = "\n".join(fault.render() for fault in rejected.faults())

    assert "geheim" not in shown
    assert "geheim" not in mask_url(url)
    assert "there" in mask_url(url) or "server.sock" in mask_url(url)


def test_url_without_password_is_shown_as_it_is() -> None:
    assert mask_url("redis://there:6379/0") == "redis://there:6379/0"


def test_state_folder_follows_the_xdg_convention(tmp_path: Path) -> None:
    embedded = DEFAULTS.embedded

    assert embedded.state_folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "taskexec"
    assert embedded.state_folder({}) == Path.home() / ".local" / "state" / "taskexec"


def test_settings_need_neither_celery_nor_redis() -> None:
    program = "import sys, taskexec.settings; print(sorted({'celery', 'redis', 'rich'} & set(sys.modules)))"

    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert outcome.stdout.strip() == "[]"


KEY = base64.b64encode(bytes(32)).decode()
OTHER_KEY = base64.b64encode(bytes(31) + b"\1").decode()


@pytest.mark.parametrize("text", [f'"{KEY}, {OTHER_KEY}"', f'["{KEY}", "{OTHER_KEY}"]'])
def test_trusted_keys_are_a_list_or_separated_by_commas(tmp_path: Path, text: str) -> None:
    (tmp_path / "tek.toml").write_text(f"[security]\ntrusted_keys = {text}\n")

    assert load_settings(cwd=tmp_path, environ={}).security.trusted() == (KEY, OTHER_KEY)


def test_trusted_keys_can_stand_in_the_environment(tmp_path: Path) -> None:
    settings = load_settings(cwd=tmp_path, environ={"TEK_SECURITY_TRUSTED_KEYS": f"{KEY},{OTHER_KEY}"})

    assert settings.security.trusted() == (KEY, OTHER_KEY)


def test_what_is_no_public_key_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, {"security.trusted_keys": f"{KEY},abc"}, {})

    assert "`abc` is not a public key" in fault.message


def test_keys_are_in_the_configuration_folder_of_the_user_unless_set(tmp_path: Path) -> None:
    default, named = load_settings(cwd=tmp_path, environ={}), {"security.keys_dir": "/k"}

    assert default.security.keys_folder({"XDG_CONFIG_HOME": "/c"}) == Path("/c/taskexec/keys")
    assert default.security.keys_folder({}) == Path.home() / ".config" / "taskexec" / "keys"
    assert load_settings(named, cwd=tmp_path, environ={}).security.keys_folder({}) == Path("/k")
    assert default.security.require_signed is True


@pytest.mark.parametrize(
    ("written", "mib"), [("4096", 4096), ("64G", 65_536), (" 1.5Ti ", 1_572_864), (512, 512), ("0", 0)]
)
def test_size_is_mib_or_has_a_unit(written: str | int, mib: int, tmp_path: Path) -> None:
    assert load_settings({"worker.memory": written}, cwd=tmp_path, environ={}).worker.memory == mib


@pytest.mark.parametrize(
    ("written", "gpus"),
    [
        ('"none"', "none"),
        ("[]", "none"),
        ("16", "16"),
        ("[1]", "1,"),
        ('[0, "GPU-1f"]', "0,GPU-1f,"),
        ('"16:24G"', "16:24G"),
    ],
)
def test_list_of_gpus_in_a_file_names_and_a_number_declares(
    written: str, gpus: str, tmp_path: Path, write: Write
) -> None:
    write("tek.toml", f"[worker]\ngpus = {written}\n")

    assert load_settings(cwd=tmp_path, environ={}).worker.gpus == gpus


def test_labels_are_a_list_or_parted_by_commas(tmp_path: Path, write: Write) -> None:
    write("tek.toml", '[worker]\nlabels = ["ssd", "zone=a", "ssd"]\n')

    from_file = load_settings(cwd=tmp_path, environ={})
    from_variable = load_settings(cwd=tmp_path, environ={"TEK_WORKER_LABELS": "big, new"})

    assert from_file.worker.label_list() == ("ssd", "zone=a")
    assert from_variable.worker.label_list() == ("big", "new")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("worker.memory", "much"),
        ("worker.memory", -1),
        ("worker.disk", "1X"),
        ("worker.gpus", "all"),
        ("worker.gpus", True),
        ("worker.labels", "a b"),
        ("worker.cpus", 0),
        ("worker.cpus", "inf"),
        ("worker.reserve_cpus", -1),
    ],
)
def test_nonsense_about_a_worker_is_refused(key: str, value: object, tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, {key: value})

    assert (fault.code, key in fault.message) == ("settings.value", True)


def test_values_of_tables_know_their_places(write: Write, tmp_path: Path) -> None:
    write("tek.toml", '[plan.defaults]\ncpus = 2\n\n[plan.queues."Queue A — One (x.y)"]  # a lane\ndisk = "1G"\n')

    plan = load_settings(cwd=tmp_path, environ={}).plan

    assert plan.defaults == {"cpus": Written(2, Place("tek.toml", 2))}
    assert plan.queues == {"Queue A — One (x.y)": {"disk": Written("1G", Place("tek.toml", 5))}}


def test_tables_of_several_files_are_united_by_name(write: Write, tmp_path: Path) -> None:
    write("tek.toml", "[plan.defaults]\ncpus = 2\n")
    write("config/environments/big.toml", '[plan.defaults]\ncpus = 8\nmemory = "4G"\n')

    defaults = load_settings({"plan.defaults.has": '["x"]'}, cwd=tmp_path, environ={}, environment="big").plan.defaults

    assert {name: written.value for name, written in defaults.items()} == {"cpus": 2, "memory": "4G", "has": ["x"]}


def test_tables_are_explained_without_places(write: Write, tmp_path: Path) -> None:
    write("tek.toml", "[plan.queues.gpu]\nhas = ['x']\n")

    origin = next(found for found in explain_settings(cwd=tmp_path, environ={}) if found.key == "plan.queues")

    assert (origin.value, origin.origin) == ({"gpu": {"has": ["x"]}}, "tek.toml:2")


@pytest.mark.parametrize("overrides", [{"plan.defaults": 3}, {"plan.queues.gpu": 3}, {"plan.queues": {"gpu": "x"}}])
def test_what_is_no_table_is_refused(tmp_path: Path, overrides: dict[str, object]) -> None:
    assert faults_of(tmp_path, overrides)


def test_tables_have_no_variables(tmp_path: Path) -> None:
    assert [fault.code for fault in faults_of(tmp_path, environ={"TEK_PLAN_DEFAULTS": "{}"})] == ["settings.unknown"]


def test_targets_and_keys_of_notifications_are_shown_without_what_may_be_secret(tmp_path: Path) -> None:
    values = {
        "notify.targets": "https://h.example/T000/secret slack://a/secret",
        "notify.webhook_key": "secret",
        "notify.smtp_url": "smtp://u:secret@h:25",
    }

    shown = {origin.key: str(origin.value) for origin in explain_settings(values, cwd=tmp_path, environ={})}

    assert not any("secret" in shown[key] for key in values)
    assert "secret" not in repr(load_settings(values, cwd=tmp_path, environ={}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("notify.targets", "no address, secret"),
        ("notify.events", "run_ended,nonsense"),
        ("notify.smtp_url", "http://h"),
        ("notify.command", "unclosed 'quote"),
        ("trace.endpoint", "h:4318"),
        ("log.level", "loud"),
    ],
)
def test_wrong_values_of_what_is_told_are_refused(key: str, value: str, tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, {key: value})

    assert key in fault.message
    assert "secret" not in fault.message
