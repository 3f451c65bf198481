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
        (["deepseek-r1", "--hardware", "8xh100"], "does not fit 8xh100"),
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
