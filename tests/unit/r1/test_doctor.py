"""The command `r1 doctor`."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from r1 import doctor
from r1.cli import main
from r1.stack.ports import plan_ports
from serving.errors import InvalidDocument
from serving.hardware import Machine
from serving.hardware.probe import MIB, FoundGpu
from serving.preflight.deployment import GPU_TAINTS, Deployment
from serving.preflight.finding import BLIND, REFUSED
from serving.preflight.host_facts import Host


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    return parser.parse_args(words)


def deployment(*words: str) -> Deployment:
    return doctor.deployment_of(parse(*words), Path("/nowhere"))


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which nothing can be seen."""
    monkeypatch.setattr(doctor, "look", lambda asked, environment: Host())


def test_without_a_model_it_looks_for_what_r1_up_needs() -> None:
    read = deployment()
    assert [each.model for each in read.models] == ["r1-nano", "r1-distill-nano"]
    assert {each.hardware for each in read.models} == {"cpu"}
    assert read.ports == plan_ports().single_ports()


def found(*names: str) -> Callable[[], list[FoundGpu]]:
    return lambda: [FoundGpu(name, 81559 * MIB) for name in names]


def test_without_hardware_it_takes_the_gpus_that_are_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = parse("deepseek-r1:14b", "r1-nano")
    monkeypatch.setattr(doctor, "find_gpus", found("NVIDIA H100 80GB HBM3"))
    read = doctor.deployment_of(words, tmp_path)
    assert [each.hardware for each in read.models] == ["1xh100", "cpu"]
    # Three of them are no shipped shape.
    monkeypatch.setattr(doctor, "find_gpus", found(*["NVIDIA H100 80GB HBM3"] * 3))
    read = doctor.deployment_of(words, tmp_path)
    assert Machine.load(read.models[0].hardware).gpus_per_node == 3
    monkeypatch.setattr(doctor, "find_gpus", found())
    assert doctor.deployment_of(words, tmp_path).models[0].hardware == "cpu"


def test_options_become_a_deployment() -> None:
    read = deployment(
        *("deepseek-r1", "--hardware", "8xh200", "--profile", "latency", "--replicas", "2"),
        *("-n", "mine", "--image", "a.io/r1:1", "--storage-class", "fast", "--weights-on", "node"),
        *("--toleration", "a=b:NoSchedule", "--accept-licence", "X", "--port-base", "9000"),
    )
    (model,) = read.models
    assert (model.model, model.profile, model.replicas) == ("deepseek-r1", "latency", 2)
    assert (read.namespace, read.image) == ("mine", "a.io/r1:1")
    assert (read.storage.storage_class, read.storage.place) == ("fast", "node")
    assert read.tolerations[: len(GPU_TAINTS)] == GPU_TAINTS
    assert read.tolerations[-1] == doctor.toleration("a=b:NoSchedule")
    assert read.accepted_licences == ("X",)
    assert read.ports["api"] == 9000


def test_options_win_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    model = {"model": "deepseek-r1", "hardware": "8xh200"}
    written = {"models": [model], "namespace": "a", "storage": {"place": "node"}, "tolerations": []}
    path.write_text(yaml.safe_dump(written))
    read = deployment("-f", str(path), "-n", "b", "--storage-class", "c", "--toleration", "d")
    assert (read.namespace, read.storage.place, read.storage.storage_class) == ("b", "node", "c")
    assert [each.key for each in read.tolerations] == ["d"]
    with pytest.raises(InvalidDocument, match="leave MODEL"):
        deployment("r1-nano", "-f", str(path))


def test_what_r1_plan_writes_is_a_deployment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", "deepseek-r1", "--hardware", "8xh200", "--users", "50", "--serve-config"]
    assert main(words) == 0
    path = tmp_path / "planned.yaml"
    path.write_text(capsys.readouterr().out)
    (model,) = deployment("-f", str(path)).models
    assert (model.model, model.hardware) == ("deepseek-r1", "8xh200")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ("a", "Exists", "", None)),
        ("a=b", ("a", "Equal", "b", None)),
        ("a:NoExecute", ("a", "Exists", "", "NoExecute")),
        ("a/b=c:NoSchedule", ("a/b", "Equal", "c", "NoSchedule")),
    ],
)
def test_tolerations_are_written_as_taints_are(
    text: str, expected: tuple[str, str, str, str | None]
) -> None:
    read = doctor.toleration(text)
    assert (read.key, read.operator, read.value, read.effect) == expected


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["r1-nanno"], "did you mean r1-nano"),
        (["r1-nano", "--hardware", "8xh20"], "did you mean 8xh200"),
        (["--toleration", "=x"], "write KEY"),
        (["--toleration", "a:Never"], "write KEY"),
        (["-n", "Not A Name"], "namespace"),
        (["-f", "/nowhere.yaml"], "can't be read"),
        (["--port-base", "70000"], "--port-base"),
        (["--kubeconfig", "/nowhere"], "set KUBECONFIG"),
        (["deepseek-r1", "--cluster"], "--hardware: give the machine shape"),
        (["deepseek-r1", "--hardware", "8xh200", "--build", "x"], "has no build"),
    ],
)
def test_what_keeps_it_from_looking_is_one_sentence_and_status_3(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.run(parse(*words)) == BLIND
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("r1 doctor: ")
    assert sentence in captured.err


@pytest.mark.usefixtures("bare_machine")
def test_findings_are_printed_with_their_mends(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run(parse("deepseek-r1", "--hardware", "1xl4")) == REFUSED
    out = capsys.readouterr().out
    first, mend = out.splitlines()[1:3]
    assert first.startswith("error    fits               deepseek-r1: ")
    assert "→ change the model's hardware" in mend
    assert not [line for line in out.splitlines() if line.startswith("ok ")]
    assert out.splitlines()[-1].endswith(" ok")
    doctor.run(parse("deepseek-r1", "--hardware", "1xl4", "--verbose"))
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("ok ")]


@pytest.mark.usefixtures("bare_machine")
def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    status = doctor.run(parse("r1-nano", "--json", "--strict"))
    document = json.loads(capsys.readouterr().out)
    assert document["exit_status"] == status
    assert document["kind"] == "machine"
    assert {"id", "severity", "found", "mend", "subject"} == set(document["findings"][0])
