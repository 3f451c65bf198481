"""What the rules say of vLLM, against the installed one.

Asked in a process of its own: vLLM takes ten seconds to import and changes the environment.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from serving.engine.rules.place import AITER, GONE, LATENT_WIDTH
from serving.engine.rules.weights import MOE_BACKENDS

ASK = """
import json
from typing import get_args
from vllm import envs
from vllm.config.kernel import MoEBackend
from vllm.model_executor.layers import quantization
from vllm.model_executor.layers.fused_moe.oracle import fp8, int8, int_wna16, nvfp4
from vllm.v1.attention.backends.mla.cpu_mla import CPUMLABackend

def taken(choose):
    found = []
    for name in get_args(MoEBackend):
        try:
            choose(name)
        except ValueError:
            continue
        found.append(name)
    return found

answer = {
    "variables": sorted(envs.environment_variables),
    "formats": sorted(quantization.QUANTIZATION_METHODS),
    "backends": {
        "fp8": taken(fp8.map_fp8_backend),
        "int8": taken(int8.map_int8_backend),
        "int4": taken(int_wna16.map_wna16_backend),
        "fp4": taken(nvfp4.map_nvfp4_backend),
    },
    "latent": {
        "widths": CPUMLABackend.get_supported_head_sizes(),
        "blocks": [int(each) for each in CPUMLABackend.get_supported_kernel_block_sizes()],
        "caches": list(CPUMLABackend.supported_kv_cache_dtypes),
    },
}
print("ANSWER" + json.dumps(answer))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def vllm() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, timeout=240, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(lines[0].removeprefix("ANSWER"))
    return found


def test_it_takes_these_backends_for_experts(vllm: dict[str, Any]) -> None:
    assert {name: set(taken) for name, taken in vllm["backends"].items()} == MOE_BACKENDS


def test_it_reads_no_gguf(vllm: dict[str, Any]) -> None:
    assert {"fp8", "compressed-tensors", "modelopt_fp4"} <= set(vllm["formats"])
    assert "gguf" not in vllm["formats"]


def test_what_is_gone_is_gone_and_what_is_asked_for_is_there(vllm: dict[str, Any]) -> None:
    known = set(vllm["variables"])
    assert not known & set(GONE)
    there = {"VLLM_MOE_ROUTING_SIMULATION_STRATEGY", "VLLM_SERVER_DEV_MODE", "VLLM_MLA_DISABLE"}
    assert there | set(AITER) <= known


def test_latent_attention_on_cpu_has_this_shape(vllm: dict[str, Any]) -> None:
    assert vllm["latent"] == {"widths": [sum(LATENT_WIDTH)], "blocks": [16], "caches": ["auto"]}
