"""The files of deploy/ and the Dockerfile: what their tools say of them, and what they say of each other."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types, and what is read has none either

from config import Settings
from config.variables import variables
from environment import load
from server import VERSION
from tests.deploy.front import HERE, Nginx, needed, uncommented

DEPLOY = HERE / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNIT = DEPLOY / "systemd" / "almanac.service"
TOKEN = f"ann:{'0' * 64}:read"  # what the examples leave for whoever runs it to say


def says(program: str, *arguments: object) -> str:
    """What a program says of a file that it does not like."""
    done = subprocess.run(
        [needed(program), *map(str, arguments)], capture_output=True, text=True, cwd=HERE, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def pairs(lines: list[str]) -> dict[str, str]:
    """Settings from lines, those that are commented out as well."""
    found = (re.match(r"#?(ALMANAC_\w+)=(.*)", line) for line in lines)
    return {each[1]: each[2] for each in found if each}


def started(given: dict[str, str]) -> Settings:
    """The settings of a server that is started so; the examples leave out who may call."""
    given = {name: str(value) for name, value in given.items()}
    if given.get("ALMANAC_AUTH_MODE") == "tokens" and not given.get("ALMANAC_AUTH_TOKENS"):
        given["ALMANAC_AUTH_TOKENS"] = TOKEN
    return load({"ALMANAC_ENV_FILE": "/dev/null", "ALMANAC_TRANSPORT": "http", **given})


def test_the_dockerfile_passes_its_linter() -> None:
    assert not says("hadolint", "Dockerfile")


def test_the_compose_file_fits_the_specification() -> None:
    assert not says("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


@pytest.mark.parametrize("name", [path.name for path in sorted(KUBERNETES.glob("*.yaml"))])
def test_a_manifest_fits_the_schema_of_kubernetes(name: str) -> None:
    if name != "kustomization.yaml":  # kubectl's own
        assert not says("kubernetes-validate", "--strict", KUBERNETES / name)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def nginx(request: pytest.FixtureRequest, tmp_path: Path) -> Nginx:
    return Nginx([18001, 18002, 18003], tmp_path / "nginx", request.param)


def test_nginx_takes_its_configuration(nginx: Nginx) -> None:
    assert not nginx.tested()


def test_systemd_takes_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    # It looks for the program, and nobody has installed this one.
    here = UNIT.read_text().replace("/opt/almanac/.venv/bin/python", sys.executable)
    unit = tmp_path / UNIT.name
    unit.write_text(here.replace("/opt/almanac", str(HERE)))
    assert not says("systemd-analyze", "verify", unit)
    assert not says("systemd-analyze", "security", "--offline=true", "--threshold=15", unit)  # of 100


# --- what they say of each other


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read(DEPLOY / "compose.yaml")


def replicas(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in compose["services"].items() if name.startswith("almanac-")}


def test_three_replicas_differ_in_their_number_alone(compose: dict[str, Any]) -> None:
    found = replicas(compose)
    alike = {
        json.dumps(each).replace(f"state-{name[-1]}", "state").replace(f".1{name[-1]}", "")
        for name, each in found.items()
    }
    assert len(found) == 3
    assert len(alike) == 1
    assert re.findall(r"server (\S+):8000", (DEPLOY / "nginx.conf").read_text()) == list(found)


def test_replicas_believe_the_proxy_and_nobody_else(compose: dict[str, Any]) -> None:
    proxy = compose["services"]["nginx"]["networks"]["inside"]["ipv4_address"]
    for replica in replicas(compose).values():
        assert replica["environment"]["ALMANAC_TRUSTED_PROXIES"] == proxy
        assert set(replica["networks"]) & set(compose["services"]["nginx"]["networks"]) == {"inside"}


def test_no_container_may_more_than_it_has_to(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert ("ports" in service) == (name == "nginx")
        assert "healthcheck" in service or name in replicas(compose), "the image has its own"
    assert compose["networks"]["inside"]["internal"]


def test_what_compose_publishes_and_probes_is_listened_at(compose: dict[str, Any]) -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    plain, tls = (
        set(re.findall(r"^ *listen (\d+)", each, re.MULTILINE)) for each in (text, uncommented(text))
    )
    service = compose["services"]["nginx"]
    (published,) = re.findall(r"^\$\{ALMANAC_PUBLISH:-127\.0\.0\.1:\d+:(\d+)\}$", service["ports"][0])
    (probed,) = re.findall(r":(\d+)/health", " ".join(service["healthcheck"]["test"]))
    assert {published, probed} <= plain & tls
    for where in (HERE / "docs" / "operations.md", DEPLOY / "compose.yaml", DEPLOY / "nginx.conf"):
        for mapping in re.findall(r"ALMANAC_PUBLISH=([\d.:]+\d)", where.read_text()):
            assert re.fullmatch(r"[\d.]+:\d+:\d+", mapping), where.name
            assert mapping.rpartition(":")[2] in tls - plain


def test_what_would_have_finished_is_not_killed(compose: dict[str, Any]) -> None:
    closing = 10  # seconds that a server takes to close, at most
    for replica in replicas(compose).values():
        grace = int(replica["environment"]["ALMANAC_SHUTDOWN_GRACE"])
        assert int(replica["stop_grace_period"].removesuffix("s")) >= grace + closing
    pod = read(KUBERNETES / "deployment.yaml")["spec"]["template"]["spec"]
    grace = int(configured()["ALMANAC_SHUTDOWN_GRACE"])
    waits = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= waits + grace + closing
    page = (HERE / "docs" / "operations.md").read_text().replace("\\\n", "")
    commands = re.findall(r"^docker run .*", page, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        assert (
            int((re.findall(r"--stop-timeout (\d+)", command) or [0])[0])
            >= started({}).shutdown_grace + closing
        )
    unit = UNIT.read_text()
    grace = int(re.findall(r"ALMANAC_SHUTDOWN_GRACE=(\d+)", unit)[0])
    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) >= grace + closing


def test_every_example_of_settings_starts(compose: dict[str, Any]) -> None:
    example = pairs((DEPLOY / "almanac.env.example").read_text().splitlines())
    for replica in replicas(compose).values():
        shared = started(example | replica["environment"])
        assert shared.state_url is not None
        assert shared.auth.mode == "tokens"
        assert shared.limits.rate
    secret: dict[str, str] = read(KUBERNETES / "secret.example.yaml")["stringData"]
    assert started(configured() | secret).metrics_port == 9000
    unit = dict(re.findall(r"(ALMANAC_\w+)=(\S+)", UNIT.read_text()))
    assert started(unit | {"ALMANAC_STATE_DIR": "/tmp"}).shutdown_grace == 30


def configured() -> dict[str, str]:
    (made,) = read(KUBERNETES / "kustomization.yaml")["configMapGenerator"]
    return pairs(made["literals"])


def test_every_setting_that_is_named_anywhere_exists() -> None:
    known = {variable.name for variable in variables()} | {"ALMANAC_ENV_FILE"}
    known |= {"ALMANAC_IMAGE", "ALMANAC_FILES", "ALMANAC_PUBLISH"}  # compose's own
    said = {
        (path.name, name)
        for path in (
            *DEPLOY.rglob("*"),
            HERE / "Dockerfile",
            HERE / "docs" / "operations.md",
            HERE / "server.json",
        )
        if path.is_file()
        for name in re.findall(r"ALMANAC_[A-Z_]+[A-Z]", path.read_text())
        if f"{name}_*" not in path.read_text()
    }
    assert not {(where, name) for where, name in said if name not in known}


def test_the_pods_are_found_by_everything_that_looks_for_them() -> None:
    pod = read(KUBERNETES / "deployment.yaml")["spec"]
    labels = pod["template"]["metadata"]["labels"]
    assert pod["selector"]["matchLabels"] == labels
    assert read(KUBERNETES / "service.yaml")["spec"]["selector"] == labels
    assert read(KUBERNETES / "disruption.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert read(KUBERNETES / "network.yaml")["spec"]["podSelector"]["matchLabels"] == labels
    target = read(KUBERNETES / "autoscaler.yaml")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "almanac")
    listed = set(read(KUBERNETES / "kustomization.yaml")["resources"])
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert listed - {"secret.yaml"} == there - {"secret.yaml"}


def test_a_pod_runs_as_the_image_wants_and_its_service_sets_no_setting() -> None:
    pod = read(KUBERNETES / "deployment.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user = re.findall(r"^USER (\d+):(\d+)$", (HERE / "Dockerfile").read_text(), re.MULTILINE)
    context = pod["securityContext"]
    assert [(str(context["runAsUser"]), str(context["runAsGroup"]))] == user
    assert context["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["enableServiceLinks"] is False
    with pytest.raises(Exception, match="ALMANAC_PORT"):
        started({"ALMANAC_PORT": "tcp://10.0.0.1:80"})
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8000, "metrics": int(configured()["ALMANAC_METRICS_PORT"])}


def versions() -> Iterator[tuple[str, str]]:
    yield "server.json", json.loads((HERE / "server.json").read_text())["version"]
    for package in json.loads((HERE / "server.json").read_text())["packages"]:
        yield "server.json", package.get("version") or package["identifier"].rpartition(":")[2]
    yield "bundle", json.loads((HERE / "bundle" / "manifest.json").read_text())["version"]
    (image,) = read(KUBERNETES / "kustomization.yaml")["images"]
    yield "kustomization.yaml", image["newTag"]


def test_the_same_version_is_named_everywhere() -> None:
    assert set(versions()) == {(where, VERSION) for where, _ in versions()}


def test_where_nothing_can_build_an_image_that_is_said() -> None:
    done = subprocess.run(["make", "image", "ENGINE="], capture_output=True, text=True, cwd=HERE, check=False)
    assert done.returncode
    assert "docker, podman or buildah" in done.stdout


def test_every_alarm_asks_for_numbers_that_there_are_and_is_explained() -> None:
    rules = read(DEPLOY / "alerts.yaml")["groups"][0]["rules"]
    counted = (HERE / "metrics.py").read_text()
    explained = (HERE / "docs" / "operations.md").read_text()
    assert len(rules) > 5
    for rule in rules:
        (name,) = set(re.findall(r"almanac_\w+", rule["expr"]))
        assert f'"{name.removesuffix("_bucket")}"' in counted
        assert rule["alert"] in explained
        assert "==" not in rule["expr"], "what several tell may be more than 1"
