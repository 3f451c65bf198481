"""Ray Serve LLM with its default ingress: `python -m loadtests.compare.ingress --port N FILE`.

FILE is what `r1 engine-args MODEL --json` prints. The cluster is this process's own and on loopback
alone; all else but the engine's arguments is Ray's default.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("derived", type=Path, metavar="FILE")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--temp", required=True, help="folder for Ray; its path must be short")
    args = parser.parse_args()
    derived = json.loads(args.derived.read_text("utf-8"))
    # Ray reads these when it is imported. Niceness: engines of the others are not slowed either.
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_process_group_cleanup_enabled": "1",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "VLLM_HOST_IP": "127.0.0.1",
        "GLOO_SOCKET_IFNAME": "lo",
    }

    import ray
    from ray import serve
    from ray.serve.llm import LLMConfig, build_openai_app

    ray.init(
        num_cpus=64,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        _node_ip_address="127.0.0.1",
        _temp_dir=args.temp,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": args.port})
    config = LLMConfig(
        model_loading_config={"model_id": derived["model"], "model_source": derived["weights"]},
        engine_kwargs=derived["arguments"],
        accelerator_config={"kind": "cpu"},
        runtime_env={"env_vars": derived["environment"]},
    )
    serve.run(build_openai_app({"llm_configs": [config]}), name="llm", blocking=True)


if __name__ == "__main__":
    main()
