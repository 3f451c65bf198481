"""`python -m scripts.images`: which docker builds, which way leads into the cluster."""

from pathlib import Path

import pytest

from scripts.images.__main__ import main, parser
from scripts.images.catalog import IMAGES, UnknownImage, chosen, version
from scripts.images.docker import Docker, DockerError, find, programs
from scripts.images.loaders import LoadError, loader

ARCHIVE = Path("image.tar")


def docker_in(folder: Path) -> str:
    folder.mkdir()
    program = folder / "docker"
    program.touch(mode=0o755)
    return str(program)


def test_without_names_it_is_what_a_machine_without_gpus_needs() -> None:
    assert [image.name for image in chosen([])] == ["gateway", "serving-cpu"]
    assert [image.name for image in chosen(["serving-gpu"])] == ["serving-gpu"]
    with pytest.raises(UnknownImage, match="serving-tpu: name one of gateway, serving-cpu"):
        chosen(["serving-tpu"])


def test_names_carry_registry_and_tag() -> None:
    image = IMAGES["gateway"]
    assert image.reference(version()) == "r1/gateway:0.1.0"
    assert image.reference("x", "registry.example/team/") == "registry.example/team/r1/gateway:x"


def test_a_client_without_buildx_is_passed_over_for_an_older_one(tmp_path: Path) -> None:
    new, old = docker_in(tmp_path / "a"), docker_in(tmp_path / "b")
    answers = {
        (new, "version"): (0, "28.2.2"),
        (new, "buildx"): (1, ""),
        (old, "version"): (0, "20.10.24+dfsg1"),
    }
    path = f"{tmp_path / 'a'}:{tmp_path / 'none'}:{tmp_path / 'b'}"
    assert programs(path) == [new, old]
    assert find(path, lambda command: answers[command[0], command[1]]) == old
    answers[new, "buildx"] = (0, "v0.20")
    assert find(path, lambda command: answers[command[0], command[1]]) == new


def test_no_docker_and_one_that_cannot_build_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DockerError, match="not on PATH"):
        find(str(tmp_path))
    docker_in(tmp_path / "a")
    with pytest.raises(DockerError, match="buildx"):
        find(
            str(tmp_path / "a"),
            lambda command: (0, "28.2.2") if "version" in command[1] else (1, ""),
        )


def test_a_daemon_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(DockerError, match=r"unix:///nowhere\.sock: start one"):
        Docker("docker", lambda command: (1, ""))


@pytest.mark.parametrize(
    ("environ", "context", "programs", "command"),
    [
        ({"R1_CLUSTER_KIT": "/kit"}, "kind-x", {"kind"}, ["/kit/cluster", "load", "image.tar"]),
        ({}, "kind-x", {"kind"}, ["kind", "load", "image-archive", "image.tar", "--name", "x"]),
        (
            {},
            "k3d-y-z",
            {"k3d", "ctr"},
            ["k3d", "image", "import", "image.tar", "--cluster", "y-z"],
        ),
        ({}, "", {"ctr"}, ["ctr", "--namespace", "k8s.io", "images", "import", "image.tar"]),
    ],
)
def test_images_go_into_the_cluster_at_hand(
    environ: dict[str, str], context: str, programs: set[str], command: list[str]
) -> None:
    way = loader(environ, context, lambda name: name if name in programs else None)
    assert way.command(ARCHIVE) == command
    # a program that reads the archive twice needs a file
    assert way.streams == (command[0] not in ("kind", "k3d"))


def test_no_cluster_leads_to_a_registry() -> None:
    with pytest.raises(LoadError, match=r"scripts\.images push REGISTRY"):
        loader({}, "production", lambda name: None)


def test_words_of_the_command_line() -> None:
    given = parser().parse_args(["load", "--tag", "mine", "gateway"])
    assert (given.names, given.tag) == (["gateway"], "mine")
    given = parser().parse_args(
        ["push", "registry.example", "gateway", "--build-arg", "BASE=x@sha256:1"]
    )
    assert (given.registry, given.build_arg) == ("registry.example", ["BASE=x@sha256:1"])


def test_a_refusal_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "serving-tpu"]) == 1
    assert capsys.readouterr().err.startswith("r1: no image is called serving-tpu")
