"""The command `r1 models`, where it needs no stack."""

import argparse
import json
from typing import Any

import pytest

from r1 import models
from serving.hardware import Machine


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    models.add_arguments(parser)
    return models.run(parser.parse_args(words))


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_builds_of_one_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--catalog", "deepseek-r1:70b") == 0
    out = capsys.readouterr().out
    assert out.count("deepseek-r1-distill-llama-70b ") == 1
    assert "RedHatAI/DeepSeek-R1-Distill-Llama-70B-quantized.w4a16" in out
    assert next(line for line in out.splitlines() if "gguf_q4_k_m" in line).split()[2] == "42.5"


def test_builds_of_all_models_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--catalog", "--json") == 0
    found = rows(capsys)
    assert {row["model"] for row in found} >= {"deepseek-r1", "deepseek-r1-zero", "r1-nano"}
    for row in found:
        parts = dict(row["bytes"])
        assert parts.pop("total") == sum(parts.values())
        assert row["source"]
        assert row["licence"] == "MIT"
    r1 = next(row for row in found if (row["model"], row["build"]) == ("deepseek-r1", "fp8"))
    assert (r1["kv_bytes_per_token"], r1["least_vllm"], r1["gated"]) == (70_272, "0.6.6", False)


def test_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--hardware") == 0
    table = capsys.readouterr().out
    assert "two nodes of 8 × H100 80GB with InfiniBand" in table
    assert call("--hardware", "--json") == 0
    found = {row["machine"]: row for row in rows(capsys)}
    assert set(found) == set(Machine.ids())
    assert found["8xb200"]["tflops"]["fp4"] == 9000
    assert found["cpu"]["gpus"] == 0
    assert found["cpu"]["bandwidth_gb_s"] == 51.2


def test_an_unknown_model_is_answered_with_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--catalog", "deepseek-r1:71b") == 1
    assert "did you mean deepseek-r1:671b" in capsys.readouterr().err
