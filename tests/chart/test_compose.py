"""The compose file, without starting it: every profile is valid, and nothing is open by default."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import validate
from scripts.images.catalog import ROOT
from serving.app import parse
from serving.catalog import Catalog
from serving.local.config import load

FOLDER = ROOT / "deploy" / "compose"
PROFILES = ("default", "gpu", "ollama", "observability", "load")
OURS = 10001


def compose() -> str:
    """A docker-compose of version 2: by itself, by the cluster's kit, or as docker's plugin."""
    if found := shutil.which("docker-compose"):
        return found
    kit = os.environ.get("R1_CLUSTER_KIT")
    if kit is None:
        pytest.skip("no docker-compose 2: install it, or set R1_CLUSTER_KIT to a kit that has it")
    lines = subprocess.run([f"{kit}/cluster", "env"], capture_output=True, text=True, check=True)
    path = next(line for line in lines.stdout.splitlines() if "PATH=" in line)
    folder = path.partition("PATH=")[2].strip("\"'").split(":")[0]
    return str(Path(folder) / "docker-compose")


def rendered(*profiles: str, **environ: str) -> dict[str, Any]:
    """What `config` makes of the file; with no profile what a plain `up` starts."""
    words = [word for profile in profiles for word in ("--profile", profile)]
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("R1_", "COMPOSE_"))
    }
    answer = subprocess.run(
        [compose(), "-f", str(FOLDER / "compose.yaml"), *words, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, **environ},
    )
    assert answer.returncode == 0, answer.stderr
    # A variable that nothing sets would be a warning.
    assert "variable is not set" not in answer.stderr
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


@pytest.fixture(scope="module")
def all_services() -> dict[str, Any]:
    services: dict[str, Any] = rendered(*PROFILES)["services"]
    return services


@pytest.mark.parametrize(
    ("profiles", "services"),
    [
        ((), {"prepare", "redis", "gateway", "serving"}),
        (("default",), {"prepare", "redis", "gateway", "serving"}),
        (("gpu",), {"prepare", "redis", "gateway-gpu", "serving-gpu"}),
        (("ollama",), {"prepare", "redis", "gateway-ollama", "ollama", "ollama-model"}),
        (("observability",), {"prepare", "redis", "prometheus", "grafana"}),
        (("load",), {"prepare", "redis", "load"}),
    ],
)
def test_every_profile_is_valid_and_starts_what_it_says(
    profiles: tuple[str, ...], services: set[str]
) -> None:
    assert set(rendered(*profiles)["services"]) == services


def test_only_doors_are_published_and_only_on_this_machine(all_services: dict[str, Any]) -> None:
    published = {
        name: [(port["host_ip"], port["target"]) for port in service["ports"]]
        for name, service in all_services.items()
        if service.get("ports")
    }
    here = "127.0.0.1"
    assert published == {
        "gateway": [(here, 8080)],
        "gateway-gpu": [(here, 8080)],
        "gateway-ollama": [(here, 8080)],
        "prometheus": [(here, 9090)],
        "grafana": [(here, 3000)],
    }


def test_services_are_hardened_checked_and_bounded(all_services: dict[str, Any]) -> None:
    for name, service in all_services.items():
        assert service["image"].rpartition(":")[2] != "latest", name
        assert ":" in service["image"], name
        if name in ("ollama", "ollama-model"):
            # Ollama keeps its models in root's home.
            continue
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
    once = {"prepare", "ollama-model", "load"}
    for name in set(all_services) - once:
        assert all_services[name]["healthcheck"]["test"], name
        assert all_services[name]["restart"] == "unless-stopped", name


def test_no_secret_is_in_an_environment_or_a_command(all_services: dict[str, Any]) -> None:
    for name, service in all_services.items():
        for variable, value in (service.get("environment") or {}).items():
            secret = any(word in variable for word in ("KEY", "PASSWORD", "TOKEN", "SECRET"))
            assert not secret or variable.endswith("_FILE"), (name, variable)
            assert not secret or str(value).startswith("/run/secrets/r1/"), (name, variable)
    for line in (FOLDER / ".env").read_text().splitlines():
        assert line.startswith(("#", "COMPOSE_PROFILES=", "R1_TAG=")), line


def test_each_service_sees_its_own_secrets_only(all_services: dict[str, Any]) -> None:
    seen = {
        name: {
            volume["source"]
            for volume in service.get("volumes", ())
            if volume["source"].endswith("-secrets")
        }
        for name, service in all_services.items()
    }
    assert seen.pop("prepare") == {
        *("gateway-secrets", "serving-secrets", "redis-secrets", "operator-secrets"),
    }
    expected = {
        "gateway": "gateway-secrets",
        "serving": "serving-secrets",
        "redis": "redis-secrets",
        "grafana": "operator-secrets",
        "load": "operator-secrets",
    }
    for name, volumes in seen.items():
        wanted = expected.get(name.removesuffix("-gpu").removesuffix("-ollama"))
        assert volumes == ({wanted} if wanted else set()), name
    for service in all_services.values():
        for volume in service.get("volumes", ()):
            if volume["target"] == "/run/secrets/r1":
                assert volume["read_only"] is True


@pytest.mark.parametrize("profile", ["", "-gpu", "-ollama"])
def test_the_gateways_settings_are_valid_and_its_end_waits_for_the_longest_answer(
    profile: str, all_services: dict[str, Any]
) -> None:
    settings = validate(yaml.safe_load((FOLDER / f"gateway{profile}.yaml").read_text()))
    grace = all_services[f"gateway{profile}"]["stop_grace_period"]
    minutes, _, seconds = grace.rstrip("s").partition("m")
    assert int(minutes) * 60 + int(seconds) >= settings.drain_s + settings.listen.drain_delay_s
    if profile != "-ollama":
        plane = load(FOLDER / f"serving{profile}.json")
        assert plane.longest_answer_s == settings.longest_answer()[1]
        for application in plane.applications:
            arguments = parse({"model": application.model, **application.arguments})
            assert arguments.longest_answer_s == plane.longest_answer_s
            assert Catalog.load().resolve(application.model).id == application.model
        served = [application.model for application in plane.applications]
        assert [model.id for model in settings.models] == served
        urls = [upstream.url for model in settings.models for upstream in model.upstreams]
        assert urls == [f"http://serving:{plane.ports.serve}/{model}" for model in served]


def test_the_health_checks_ask_for_the_models_that_are_served(all_services: dict[str, Any]) -> None:
    for profile in ("", "-gpu"):
        plane = load(FOLDER / f"serving{profile}.json")
        asked = [
            word
            for word in all_services[f"serving{profile}"]["healthcheck"]["test"]
            if word.startswith("http")
        ]
        assert asked == [
            f"http://127.0.0.1:{plane.ports.serve}/{application.model}/health"
            for application in plane.applications
        ]


def test_the_images_and_ports_can_be_set_by_environment() -> None:
    services = rendered(
        "default",
        R1_REGISTRY="registry.example/team/",
        R1_TAG="9",
        R1_PORT="18080",
        R1_REDIS_IMAGE="redis:8.2-bookworm",
    )["services"]
    assert services["gateway"]["image"] == "registry.example/team/r1/gateway:9"
    assert services["gateway"]["ports"][0]["published"] == "18080"
    assert services["redis"]["image"] == "redis:8.2-bookworm"
