"""Engines that can't start: `python -m tests.integration.starts.engines FOLDER`.

vLLM's own engine, in this one process because its import takes most of the time. Prints a JSON
object: each case's name and the traceback that vLLM ended with.
"""

import json
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

NANO = Path("serving/nano/weights/r1-distill-nano")
SMALL: dict[str, Any] = {
    "max_model_len": 4096,
    "max_num_seqs": 4,
    "kv_cache_memory_bytes": 64 * 2**20,
    "enforce_eager": True,
    "dtype": "float32",
}


def weights(folder: Path, change: str) -> str:
    """A copy of the nano weights with one thing wrong."""
    copy = folder / change
    shutil.copytree(NANO, copy)
    file = copy / "model.safetensors"
    if change == "no weights":
        file.unlink()
    elif change == "a cut file":
        file.write_bytes(file.read_bytes()[:-1000])
    elif change == "a missing shard":
        index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
        (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    elif change == "no config.json":
        (copy / "config.json").unlink()
    elif change == "a damaged tokenizer":
        (copy / "tokenizer.json").write_text("{")
    elif change == "another model's":
        config = json.loads((copy / "config.json").read_bytes())
        (copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 512}))
    return str(copy)


def main(folder: Path) -> dict[str, str]:
    """Try to start each of them."""
    from vllm import LLM

    cases: dict[str, dict[str, Any]] = {
        "KV cache below the context": {"kv_cache_memory_bytes": 2**20},
        "no room for a KV cache": {"kv_cache_memory_bytes": None, "gpu_memory_utilization": 1e-4},
        "more context than the model has": {"max_model_len": 1_000_000},
        "an unknown quantisation": {"quantization": "gptq_marlin"},
    }
    for change in (
        "no weights", "a cut file", "a missing shard", "no config.json", "a damaged tokenizer",
        "another model's",
    ):  # fmt: skip
        cases[change] = {"model": weights(folder, change)}
    found = {}
    for name, arguments in cases.items():
        try:
            LLM(**{"model": str(NANO), **SMALL, **arguments})
        except Exception:  # noqa: BLE001 - whatever vLLM raises is what is looked at
            found[name] = traceback.format_exc()
        else:
            found[name] = "it started"
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(main(Path(sys.argv[1]))))
