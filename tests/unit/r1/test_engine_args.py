"""The command `r1 engine-args`."""

import argparse
import json
from pathlib import Path

import pytest

from r1 import engine_args
from serving.errors import UnknownArgument


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    engine_args.add_arguments(parser)
    return engine_args.run(parser.parse_args(words))


def test_the_table_gives_arguments_reasons_and_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("r1-nano") == 0
    out = capsys.readouterr().out
    assert "attention_backend" in out
    assert "CPU_MLA" in out
    command = out.splitlines()[-1]
    assert "python -m vllm.entrypoints.launchers.api_server.entry --model " in command
    assert "--attention-backend CPU_MLA" in command


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["deepseek-reasoner", "--hardware", "8xh200", "--profile", "latency", "--json"]
    assert call(*words, "--set", "max-num-seqs=16", "--set", "enforce-eager=true") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"] == "deepseek-r1"
    assert document["profile"] == "latency"
    assert document["arguments"]["max_num_seqs"] == 16
    assert document["arguments"]["enforce_eager"] is True
    assert document["reasons"]["max_num_seqs"] == "override"
    assert set(document["reasons"]) == set(document["arguments"])
    assert document["argv"][:2] == ["--model", "deepseek-ai/DeepSeek-R1"]


def test_weights_and_hardware_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = tmp_path / "mine.yaml"
    shape.write_text(
        "id: mine\ntitle: a large computer\nnodes: 1\ngpus_per_node: 0\ngpu: null\n"
        "host_memory_gib: {value: 256, source: its label}\n"
        "link_within_node_gb_s: null\nlink_between_nodes_gb_s: null\n"
    )
    words = ["deepseek-r1:14b", "--hardware", str(shape), "--weights", str(tmp_path), "--json"]
    assert call(*words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["weights"] == str(tmp_path)
    assert document["hardware"] == "mine"
    assert document["arguments"]["max_model_len"] == 40960


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["r1-nanno"], "did you mean r1-nano"),
        (["r1-nano", "--hardware", "8xh20"], "did you mean 8xh200"),
        (["r1-nano", "--profile", "tp2"], "did you mean tp2-ep"),
        (["r1-nano", "--set", "tensor_paralel_size=2"], "did you mean tensor_parallel_size"),
        (["r1-nano", "--set", "max_num_seqs"], "write NAME=VALUE"),
        (["deepseek-r1", "--hardware", "8xl40s"], "does not fit 8xl40s"),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("r1 engine-args: ")
    assert sentence in captured.err


def test_override_values_are_yaml() -> None:
    pairs = ["speculative_config={method: mtp}", "max-model-len=2048", "seed=null"]
    assert engine_args.parse_overrides(pairs) == {
        "speculative_config": {"method": "mtp"},
        "max_model_len": 2048,
        "seed": None,
    }
    with pytest.raises(UnknownArgument, match="can't be read"):
        engine_args.parse_overrides(["seed=[1"])


def test_a_build_is_chosen_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["deepseek-r1:32b", "--hardware", "1xl40s", "--build", "w4a16", "--json"]
    assert call(*words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["build"] == "w4a16"
    assert document["weights"] == "RedHatAI/DeepSeek-R1-Distill-Qwen-32B-quantized.w4a16"


def test_known_mistakes_refuse_with_their_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("deepseek-r1:14b", "--hardware", "1xb200", "--build", "int8") == 2
    captured = capsys.readouterr()
    assert "INT8 kernels end before NVIDIA B200" in captured.err
    assert captured.out == ""


def test_warnings_go_to_stderr_and_into_the_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_ATTENTION_BACKEND", "FLASHINFER")
    assert call("deepseek-r1:8b", "--hardware", "1xl4", "--json") == 0
    captured = capsys.readouterr()
    assert set(json.loads(captured.out)["warnings"]) == {"gone-attention-backend", "base-terms"}
    assert captured.err.count("warning (") == 2
    assert "give the argument attention_backend" in captured.err
