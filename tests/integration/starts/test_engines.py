"""The real engine's own words when it can't start, and the sentence that they become."""

import json
import os
import subprocess
import sys

import pytest

from serving.local.explain import explain

SENTENCES = {
    "KV cache below the context": ("reduce max_model_len to ", "raise kv_cache_memory_bytes"),
    "no room for a KV cache": ("gpu_memory_utilization", "too little free memory"),
    "more context than the model has": ("max_model_len 1000000", "reduce it"),
    "an unknown quantisation": ("leave `quantization` out",),
    "no weights": ("there are no weights in", "r1 weights pull"),
    "a cut file": ("damaged or cut short", "r1 weights verify"),
    "a missing shard": ("model-2.safetensors", "r1 weights pull"),
    "no config.json": ("no readable config.json",),
    "a damaged tokenizer": ("tokenizer.json",),
    "another model's": ("don't fit the model's configuration",),
}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What vLLM says in each case."""
    folder = tmp_path_factory.mktemp("w")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.starts.engines", str(folder)],
        env={
            **os.environ,
            # What engines that could not start leave.
            "TMPDIR": str(folder),
            "HF_HUB_OFFLINE": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
            "TORCHDYNAMO_DISABLE": "1",
            "VLLM_LOGGING_LEVEL": "ERROR",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found: dict[str, str] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("case", SENTENCES)
def test_the_sentence_names_what_to_change(words: dict[str, str], case: str) -> None:
    sentence = explain(words[case])
    for part in SENTENCES[case]:
        assert part in sentence, words[case][-3000:]
