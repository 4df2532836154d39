"""What `deploy/` and docker-compose.yml describe holds together, as far as it shows without an engine or a cluster."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.deployed import DEPLOY, ROOT, load_program

from taskexec.cli.main import COMMANDS
from taskexec.settings import RESERVED_VARIABLES, SHORT_VARIABLES, explain_settings

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
FOREIGN = {"prometheus", "grafana"}
"""Services whose image is not ours."""
EVERY_SERVICE = pytest.mark.parametrize("name", SERVICES)
EVERY_SERVICE_OF_OURS = pytest.mark.parametrize("name", [name for name in SERVICES if name not in FOREIGN])
SETTINGS = {f"TEK_{origin.key.replace('.', '_').upper()}" for origin in explain_settings({})}
KNOWN_VARIABLES = SETTINGS | RESERVED_VARIABLES | set(SHORT_VARIABLES)

ROLES = ("submitter", "worker", "monitor")
_OF_SUBMITTERS = [
    *("tek:runs", "tek:submission:<sha256>"),
    *("tek:tokens", "tek:session:<sha256>", "tek:answer:<sha256>"),
    *("tek:told:<sha256>", "tek:audit", "tek:audit:access", "tek:durations", "tek:measured"),
]
"""Keys that no worker may touch."""
MANIFESTS = sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
KINDS = {
    "ConfigMap": "v1",
    "Deployment": "apps/v1",
    "Namespace": "v1",
    "PersistentVolumeClaim": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "Secret": "v1",
    "Service": "v1",
    "StatefulSet": "apps/v1",
    "TriggerAuthentication": "keda.sh/v1alpha1",
    "Kustomization": "kustomize.config.k8s.io/v1beta1",
    "Component": "kustomize.config.k8s.io/v1alpha1",
}


def documents() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            yield path, document


OBJECTS = [document for _, document in documents() if "metadata" in document]
WORKLOADS = [document for document in OBJECTS if document["kind"] in {"Deployment", "StatefulSet"}]
EVERY_WORKLOAD = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload["metadata"]["name"])


def assert_command_exists(command: list[str]) -> None:
    """Fail unless a command is one of `tek` with options it has, or a program of the image."""
    from support.documented import command_of, options_of

    if command[0] != "tek":
        assert command[0] in {"valkey-server", "sleep"}
        return
    assert command[1] in COMMANDS
    assert {word for word in command if word.startswith("--")} <= options_of(command_of(command[1]))


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.py")), ids=lambda path: path.name)
def test_program_finds_what_it_needs_of_the_package(path: Path) -> None:
    assert callable(load_program(path).main)


def test_compose_has_every_role() -> None:
    ours = {"server", "submitter", "api", "worker-cpu", "worker-gpu", "worker-distributed", "flower"}

    assert set(SERVICES) == ours | FOREIGN


@EVERY_SERVICE
def test_service_asks_whether_it_is_well_and_runs_as_nobody_special(name: str) -> None:
    service = SERVICES[name]

    assert service["healthcheck"]["test"][0] == "CMD"
    if name not in FOREIGN:  # their images name a user of their own, who is not root
        assert service["environment"]["TASKEXEC_ROLE"] in {"server", "worker", "flower", "api", "client"}
        assert not re.match(r"\$?\{?(root|0)\b", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@EVERY_SERVICE
def test_service_pins_its_image(name: str) -> None:
    image = SERVICES[name]["image"]

    version = r"v?\d+\.\d+\.\d+" if name in FOREIGN else r"\$\{TASKEXEC_VERSION:-\d+\.\d+\.\d+\}"
    assert re.search(rf":{version}$", image)
    assert "latest" not in image


@EVERY_SERVICE_OF_OURS
def test_service_gets_commands_variables_and_secrets_that_exist(name: str) -> None:
    service = SERVICES[name]
    secrets = [item if isinstance(item, str) else item["source"] for item in service["secrets"]]

    assert_command_exists(service["command"])
    assert {key for key in service["environment"] if key.startswith("TEK_")} <= KNOWN_VARIABLES
    assert set(secrets) <= set(COMPOSE["secrets"])
    assert service["environment"].get("TEK_JOIN", "").removeprefix("@/run/secrets/") in {"", *secrets}
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or source.startswith("$")


@EVERY_SERVICE
def test_service_waits_for_services_that_say_whether_they_are_well(name: str) -> None:
    for other in SERVICES[name].get("depends_on", {}):
        assert "healthcheck" in SERVICES[other]


@EVERY_SERVICE
def test_service_is_published_on_this_machine_only_unless_somebody_says_otherwise(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"\$\{TASKEXEC_[A-Z]+_PUBLISH:-127\.0\.0\.1:(\d+)\}:\1", port)


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_service_for_metrics_is_started_on_wish_and_finds_its_files(name: str) -> None:
    service = SERVICES[name]

    assert service["profiles"] == ["metrics"]
    for volume in service["volumes"]:
        source, _, rest = volume.partition(":")
        assert source in COMPOSE["volumes"] or ((ROOT / source).is_dir() and rest.endswith(":ro"))
    assert "server" not in service["depends_on"]
    assert not service.get("secrets")


def test_grafana_has_no_password_until_somebody_says_one() -> None:
    service = SERVICES["grafana"]
    shell, option, command = service["entrypoint"]
    refused = subprocess.run(
        [shell, option, command.replace("$$", "$")],
        env={"PATH": "/usr/bin:/bin", "GF_SECURITY_ADMIN_PASSWORD": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert service["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "${TASKEXEC_GRAFANA_PASSWORD:-}"
    assert re.search(r"^TASKEXEC_GRAFANA_PASSWORD=$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert refused.returncode not in {0, 127}
    assert "TASKEXEC_GRAFANA_PASSWORD" in refused.stderr


def test_workers_answer_prometheus_where_nobody_else_reaches_them() -> None:
    for name in ("worker-cpu", "worker-gpu", "worker-distributed"):
        service = SERVICES[name]
        assert service["environment"]["TEK_METRICS_PORT"]
        assert "ports" not in service
        assert service["networks"] == ["cluster"]
    assert "cluster" in SERVICES["prometheus"]["networks"]
    assert SERVICES["grafana"]["networks"] == ["metrics"]


def test_every_service_has_its_own_rights() -> None:
    joins = {name: service.get("environment", {}).get("TEK_JOIN") for name, service in SERVICES.items()}

    assert {joins[name] for name in joins if name.startswith("worker")} == {"@/run/secrets/worker.join"}
    assert joins["submitter"] == joins["api"] == "@/run/secrets/submitter.join"
    assert joins["flower"] == "@/run/secrets/monitor.join"


def test_gpu_worker_reserves_devices() -> None:
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]

    assert device["capabilities"] == ["gpu"]


def test_secrets_are_those_that_are_prepared_and_git_ignores_them(tmp_path: Path) -> None:
    load_program(DEPLOY / "prepare.py").prepare(tmp_path / "secrets", ["server"], port=6379)

    made = {path.name for path in (tmp_path / "secrets").iterdir()}
    assert {Path(secret["file"].rpartition("}")[2]).name for secret in COMPOSE["secrets"].values()} <= made
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "secrets").iterdir())
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "/deploy/secrets/"} <= set(ignored)


def test_secrets_that_are_there_are_kept(tmp_path: Path) -> None:
    prepare = load_program(DEPLOY / "prepare.py").prepare
    prepare(tmp_path, ["server"], port=6379)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    prepare(tmp_path, ["server"], port=6379)
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    prepare(tmp_path, ["server"], port=6379, renew=True)
    renewed = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert again == before
    assert {name for name in before if before[name] == renewed[name]} == {"ca.crt", "ca.key", "identity.pem"}


def test_example_of_the_environment_names_every_variable() -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    named = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert set(named) == used


def test_image_is_not_of_root_is_asked_and_is_pinned() -> None:
    text = (DEPLOY / "image" / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", text, re.MULTILINE)
    sources = [source for line in copied for source in line.split()]

    assert re.search(r"^USER \d{4,}", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert re.search(r'^ENTRYPOINT \["/usr/bin/tini"', text, re.MULTILINE)
    assert "latest" not in text
    assert text.count("\nFROM ") == 2
    assert [source for source in sources if not (ROOT / source).exists()] == []
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert [source for source in sources if not any(name.startswith(source.rstrip("/")) for name in allowed)] == []


def test_manifests_are_of_known_kinds() -> None:
    assert {(document["kind"], document["apiVersion"]) for _, document in documents()} <= set(KINDS.items())


@EVERY_WORKLOAD
def test_selectors_find_their_pods(workload: dict[str, Any]) -> None:
    wanted = workload["spec"]["selector"]["matchLabels"].items()

    assert wanted <= workload["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("kind", ["Service", "NetworkPolicy", "PodDisruptionBudget", "ScaledObject"])
def test_whatever_selects_pods_finds_some(kind: str) -> None:
    labels = [workload["spec"]["template"]["metadata"]["labels"] for workload in WORKLOADS]
    names = {workload["metadata"]["name"] for workload in WORKLOADS}
    for found in [document for document in OBJECTS if document["kind"] == kind]:
        spec = found["spec"]
        if kind == "ScaledObject":
            assert spec["scaleTargetRef"]["name"] in names
            continue
        selector = spec.get("podSelector", spec.get("selector"))
        wanted = selector.get("matchLabels", selector).items()
        assert any(wanted <= pod.items() for pod in labels), found["metadata"]["name"]


@EVERY_WORKLOAD
def test_pods_are_probed_bounded_and_without_rights(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert {"readinessProbe", "livenessProbe"} <= set(container)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in (container, *pod.get("initContainers", ())):
        assert {"requests", "limits"} <= set(each["resources"])
        assert each["securityContext"]["allowPrivilegeEscalation"] is False
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False


@EVERY_WORKLOAD
def test_pods_get_commands_variables_and_volumes_that_exist(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    secrets = {item["metadata"]["name"]: item["stringData"] for item in OBJECTS if item["kind"] == "Secret"}
    claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}

    assert_command_exists(container["args"])
    assert {item["name"] for item in container["env"] if item["name"].startswith("TEK_")} <= KNOWN_VARIABLES
    assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]} | claims
    claimed = {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
    assert claimed <= {item["metadata"]["name"] for item in OBJECTS if item["kind"] == "PersistentVolumeClaim"}
    for each in pod.get("initContainers", ()):
        assert {mount["name"] for mount in each["volumeMounts"]} <= {v["name"] for v in pod["volumes"]}
        assert each["image"] == container["image"]
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    (join,) = [item["value"] for item in container["env"] if item["name"] == "TEK_JOIN"]
    assert join.rpartition("/")[2] in secrets[secret["secretName"]]


def test_api_is_reached_by_its_service_and_by_nobody_who_is_not_named() -> None:
    named = {(item["kind"], item["metadata"]["name"]): item for item in OBJECTS}
    pod = named["Deployment", "taskexec-api"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    environ = {item["name"]: item["value"] for item in container["env"]}
    (port,) = named["Service", "taskexec-api"]["spec"]["ports"]
    (ingress,) = named["NetworkPolicy", "taskexec-api"]["spec"]["ingress"]

    assert container["ports"] == [{"name": port["targetPort"], "containerPort": port["port"]}]
    assert environ["TEK_API_PORT"] == str(port["port"])
    assert environ["TEK_API_METRICS"] == "token"
    assert ingress["ports"] == [{"port": port["port"], "protocol": "TCP"}]
    assert all(ingress["from"])
    assert pod["metadata"]["labels"]["app.kubernetes.io/part-of"] == "taskexec"
    # a private key that others may read is refused, so it is copied
    (identity,) = pod["spec"]["initContainers"]
    assert "--mode=0600" in identity["args"]
    assert identity["args"][-1].rpartition("/")[0] == environ["TEK_SECURITY_KEYS_DIR"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kustomization_can_be_built() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", DEPLOY / "kubernetes"], capture_output=True, text=True, check=False, timeout=60
    )

    assert built.returncode == 0, built.stderr
    found = {(item["kind"], item["metadata"]["name"]) for item in yaml.safe_load_all(built.stdout)}
    assert {("Deployment", "taskexec-api"), ("Service", "taskexec-api"), ("NetworkPolicy", "taskexec-api")} <= found


def test_worker_has_more_time_to_end_than_the_server_needs_to_miss_it() -> None:
    graces = {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in WORKLOADS}

    assert all(
        pod["terminationGracePeriodSeconds"] >= 600
        for name, pod in graces.items()
        if name.startswith("taskexec-worker")
    )


def test_each_class_has_a_deployment_a_budget_and_a_scale() -> None:
    for kind in ("Deployment", "PodDisruptionBudget", "ScaledObject"):
        named = {item["metadata"]["name"] for item in OBJECTS if item["kind"] == kind}
        assert {f"taskexec-worker-{name}" for name in ("cpu", "gpu", "distributed")} <= named
    (gpu,) = [item for item in WORKLOADS if item["metadata"]["name"] == "taskexec-worker-gpu"]
    limits = gpu["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == 1


def test_scales_count_every_list_of_a_queue() -> None:
    from taskexec.store.queue_lists import lists_of

    scales = [item for item in OBJECTS if item["kind"] == "ScaledObject"]
    for scale in [item for item in scales if item["spec"]["triggers"][0]["type"] == "redis"]:
        queue = scale["metadata"]["name"].removeprefix("taskexec-worker-")
        lists = {trigger["metadata"]["listName"] for trigger in scale["spec"]["triggers"]}
        assert lists == set(lists_of(queue))


def test_scales_by_wanted_nodes_agree_with_the_classes_that_are_counted(tmp_path: Path) -> None:
    from taskexec.settings.node_classes import read_node_classes

    (config,) = [item for item in OBJECTS if item["metadata"]["name"] == "taskexec-autoscale" and "data" in item]
    path = tmp_path / "classes.yaml"
    path.write_text(config["data"]["classes.yaml"])
    scales = [item["spec"] for item in OBJECTS if item["kind"] == "ScaledObject"]
    wanted = {
        f'max(taskexec_nodes_wanted{{class="{each.name}"}})': (each.least, each.most)
        for each in read_node_classes(path)
    }

    assert {
        trigger["metadata"]["query"]: (scale["minReplicaCount"], scale["maxReplicaCount"])
        for scale in scales
        for trigger in scale["triggers"]
        if trigger["type"] == "prometheus"
    } == wanted


def test_kustomization_holds_every_manifest() -> None:
    for path, document in documents():
        if document["kind"] in {"Kustomization", "Component"}:
            others = {other.name for other in path.parent.glob("*.yaml")} - {path.name, "secrets.example.yaml"}
            assert set(document["resources"]) == others


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_units_are_valid(tmp_path: Path) -> None:
    executable = Path(sys.executable).with_name("tek")
    units = []
    for path in (DEPLOY / "systemd").iterdir():
        text = (
            path.read_text()
            .replace("/opt/taskexec/bin/tek", str(executable))
            .replace("/usr/bin/valkey-server", "/bin/true")
        )
        units.append(tmp_path / path.name.replace("@.", "@cpu."))
        units[-1].write_text(text)

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_units_let_tasks_finish_and_are_hardened() -> None:
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text()
        command = re.search(r"^ExecStart=\S*/(\S+) (.+)$", text, re.MULTILINE)
        assert command is not None
        assert_command_exists([command[1], *command[2].split()])
        restart = "Restart=on-failure" if "worker" in path.name else "Restart=always"  # a drained worker stays away
        assert {"NoNewPrivileges=yes", "ProtectSystem=strict", restart} <= set(text.splitlines())
    worker = (DEPLOY / "systemd" / "tek-worker@.service").read_text().splitlines()
    assert {"KillMode=mixed", "TimeoutStopSec=15min"} <= set(worker)


def test_every_key_of_the_store_is_somebodys() -> None:
    from taskexec.store import keys

    render = load_program(DEPLOY / "prepare.py").render_users
    users = render((DEPLOY / "server" / "users.acl.in").read_text(), dict.fromkeys(("admin", *ROLES), ""))
    patterns = {
        line.split()[1]: [word.partition("~")[2].strip(")") for word in line.split() if "~" in word]
        for line in users.splitlines()
    }
    named = [
        name.replace("{R}", "{r}") for name in re.findall(r"^\| `(tek[:.][^`]+)`", keys.__doc__ or "", re.MULTILINE)
    ]

    assert len(named) > 20
    for role in ROLES:
        # braces and `?` mean the same to the server and to fnmatch
        assert [name for name in named if not any(fnmatch(name, pattern) for pattern in patterns[role])] == (
            _OF_SUBMITTERS if role == "worker" else []
        )
