"""What `r1 up` serves, on what and from where."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from r1.cli import parser
from r1.stack import choice
from r1.stack.choice import Choice, choose, write_machine
from serving.errors import DoesNotFit, UnknownMachine, UnknownModel, UnknownProfile
from serving.hardware import Machine
from serving.hardware.probe import MIB, FoundGpu

H200 = FoundGpu("NVIDIA H200", 143771 * MIB)
H100 = FoundGpu("NVIDIA H100 80GB HBM3", 81559 * MIB)
L4 = FoundGpu("NVIDIA L4", 23034 * MIB)


def put(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    put(*(tmp_path / name for name in choice.NANO_MODELS))
    return tmp_path


def chosen(*words: str, gpus: Sequence[FoundGpu] = ()) -> list[Choice]:
    return choose(parser("up").parse_args(["up", *words]), lambda: gpus)


def machines(choices: list[Choice]) -> list[str]:
    return [each.engine.machine.id for each in choices]


def test_both_nano_models_are_served_by_default() -> None:
    found = chosen()
    assert [each.engine.model.id for each in found] == ["r1-nano", "r1-distill-nano"]
    assert {each.engine.profile.name for each in found} == {"default"}
    assert {each.weights for each in found} == {None}
    assert {each.gpus for each in found} == {0}


def test_a_nano_model_looks_for_no_gpu() -> None:
    def never() -> list[FoundGpu]:
        raise AssertionError("nobody asked")

    assert len(choose(parser("up").parse_args(["up", "r1-nano"]), never)) == 1


def test_models_are_words_or_a_list() -> None:
    for words in (["r1-distill-nano", "r1-nano"], ["--models", "r1-distill-nano,r1-nano"]):
        assert [each.engine.model.id for each in chosen(*words)] == ["r1-distill-nano", "r1-nano"]
    with pytest.raises(ValueError, match="not both"):
        chosen("r1-nano", "--models", "r1-distill-nano")


def test_a_model_named_twice_is_served_once() -> None:
    assert len(chosen("r1-nano", "R1:nano")) == 1


@pytest.mark.parametrize(("ranks", "profile"), [("--tp", "tp2-ep"), ("--dp", "dp2-ep")])
def test_parallelism_is_for_the_mixture_of_experts_alone(ranks: str, profile: str) -> None:
    found = chosen(ranks, "2", "--ep")
    assert [each.engine.profile.name for each in found] == [profile, "default"]


@pytest.mark.parametrize(
    "words", [("--tp", "2"), ("--dp", "2"), ("--ep",), ("--tp", "2", "--dp", "2", "--ep")]
)
def test_half_of_the_parallel_options_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="goes together"):
        chosen(*words)


def test_parallelism_without_its_model_is_refused() -> None:
    with pytest.raises(ValueError, match="isn't among the models"):
        chosen("--tp", "2", "--ep", "r1-distill-nano")


def test_a_real_model_takes_the_gpus_that_are_found() -> None:
    (found,) = chosen("deepseek-r1", gpus=[H200] * 8)
    assert (found.engine.machine.id, found.engine.profile.name) == ("8xh200", "latency")
    assert found.gpus == 8
    assert found.weights is None
    served = found.served(Path("/h/machine.yaml"))
    assert (served.hardware, served.gpus, served.local) == ("8xh200", 8, False)
    assert served.context == found.engine.kwargs["max_model_len"]


def test_a_shape_on_the_command_line_wins() -> None:
    (found,) = chosen("deepseek-r1:7b", "--hardware", "1xl4", gpus=[H200] * 8)
    assert found.engine.machine.id == "1xl4"


def test_a_profile_is_for_the_models_on_gpus() -> None:
    found = chosen("deepseek-r1", "r1-nano", "--profile", "throughput", gpus=[H200] * 8)
    assert [each.engine.profile.name for each in found] == ["throughput", "default"]
    assert machines(found) == ["8xh200", "cpu"]


def test_a_machine_that_is_no_shipped_shape_is_described_in_a_file(tmp_path: Path) -> None:
    (found,) = chosen("deepseek-r1:32b", gpus=[H200] * 3)
    assert found.engine.machine.id == "3xh200"
    file = tmp_path / "machine.yaml"
    assert found.served(file).hardware == str(file)
    write_machine(found.engine.machine, file)
    assert Machine.load(file) == found.engine.machine


def test_models_share_the_gpus() -> None:
    found = chosen("deepseek-r1:70b", "deepseek-r1:32b", gpus=[H100] * 8)
    assert sum(each.gpus for each in found) <= 8
    with pytest.raises(
        ValueError, match=r"need \d+ GPUs together \(.*70b \d.*\), but 2xh200 has 2"
    ):
        chosen("deepseek-r1:70b", "deepseek-r1:7b", "deepseek-r1:8b", gpus=[H200, H200])


def test_replicas_take_gpus_each() -> None:
    words = ["deepseek-r1:32b", "--replicas"]
    assert len(chosen(*words, "3", gpus=[H200] * 3)) == 1
    assert len(chosen(*words, "0-9", gpus=[H200] * 3)) == 1
    with pytest.raises(ValueError, match=r"need 4 GPUs together \(.*32b 1 × 4\)"):
        chosen(*words, "4", gpus=[H200] * 3)


@pytest.mark.parametrize(
    ("words", "gpus", "error", "sentence"),
    [
        (["r1-nanoo"], [], UnknownModel, "did you mean"),
        (["deepseek-r1"], [], UnknownProfile, "need"),
        (["deepseek-r1"], [L4], UnknownProfile, "need"),
        (["deepseek-r1:32b"], [L4], DoesNotFit, "GB of weights"),
        (["deepseek-r1:7b"], [H200, L4], UnknownMachine, "give --hardware"),
        (["deepseek-r1:7b", "--hardware", "9xh300"], [], UnknownMachine, "9xh300"),
        (["deepseek-r1:7b", "--profile", "fast"], [H200], UnknownProfile, "no profile `fast`"),
    ],
)
def test_what_can_not_be_served_is_said_with_the_reason(
    words: list[str], gpus: list[FoundGpu], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        chosen(*words, gpus=gpus)


def test_weights_of_ones_own_are_found_by_id(weights: Path) -> None:
    found = chosen("--weights-dir", str(weights))
    assert [each.weights for each in found] == [
        str(weights / "r1-nano"),
        str(weights / "r1-distill-nano"),
    ]
    (weights / "r1-nano" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"no weights of r1-nano in .*/r1-nano"):
        chosen("--weights-dir", str(weights))


def test_an_offline_folder_is_searched_by_id_and_by_hub_id(tmp_path: Path) -> None:
    ours = tmp_path / "deepseek-r1-distill-qwen-7b"
    hubs = tmp_path / "deepseek-ai" / "DeepSeek-R1-Distill-Llama-8B"
    put(ours, hubs)
    words = ["deepseek-r1:7b", "deepseek-r1:8b", "--offline-folder", str(tmp_path)]
    found = chosen(*words, gpus=[H200] * 8)
    assert [each.weights for each in found] == [str(ours), str(hubs)]
    for each in found:
        assert each.engine.env["HF_HUB_OFFLINE"] == "1"
        assert each.served(Path("m.yaml")).local


def test_the_files_of_the_profiles_build_are_looked_for(tmp_path: Path) -> None:
    hub = tmp_path / "RedHatAI" / "DeepSeek-R1-quantized.w4a16"
    put(hub)
    (found,) = chosen("deepseek-r1", "--offline-folder", str(tmp_path), gpus=[H100] * 8)
    assert (found.engine.profile.name, found.weights) == ("compact", str(hub))


def test_another_build_is_served_on_demand() -> None:
    (found,) = chosen("deepseek-r1", "--build", "awq", gpus=[H100] * 8)
    assert found.engine.source == "cognitivecomputations/DeepSeek-R1-AWQ"
    assert found.served(Path("m.yaml")).build == "awq"
    with pytest.raises(DoesNotFit, match="reads no GGUF"):
        chosen("deepseek-r1", "--build", "q4_k_m", gpus=[H100] * 8)


def test_weights_that_the_offline_folder_lacks_are_named_with_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no weights of deepseek-r1") as caught:
        chosen("deepseek-r1", "--offline-folder", str(tmp_path), gpus=[H200] * 8)
    assert str(tmp_path / "deepseek-r1") in str(caught.value)
    assert str(tmp_path / "deepseek-ai" / "DeepSeek-R1") in str(caught.value)


def test_no_model_comes_from_elsewhere_with_an_offline_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"no weights of r1-nano in {tmp_path}"):
        chosen("--offline-folder", str(tmp_path))
