"""The gateways that r1 is compared with, in a virtual environment of their own."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from loadtests.gateways.client import Address
from loadtests.gateways.targets import MODEL, Bench, CannotStart, Target, free_port

VERSIONS = {"vllm-router": "0.1.17", "sglang-router": "0.3.2", "litellm": "1.106.2"}
_EXTRAS = {"litellm": "[proxy]"}


def packages(names: Sequence[str] = tuple(VERSIONS)) -> list[str]:
    """What pip is asked for."""
    return [f"{name}{_EXTRAS.get(name, '')}=={VERSIONS[name]}" for name in names]


def missing(venv: Path) -> list[str]:
    """Those that the environment lacks, or has in another version."""
    return [
        name
        for name, version in VERSIONS.items()
        if not any(venv.glob(f"lib/*/site-packages/{name.replace('-', '_')}-{version}.dist-info"))
    ]


def needed(venv: Path, name: str) -> None:
    """Raises CannotStart with the commands that install a peer, unless it is there."""
    if name in missing(venv):
        wanted = " ".join(f"'{each}'" for each in packages([name]))
        raise CannotStart(
            f"{name} {VERSIONS[name]} is not in {venv}: "
            f"python -m venv {venv} && {venv}/bin/pip install {wanted}"
        )


def install(venv: Path) -> None:
    """Make the environment, and put into it what it lacks. Raises CannotStart."""
    wanted = packages(missing(venv))
    if not wanted:
        return
    print(f"installing {' and '.join(wanted)} into {venv}", file=sys.stderr, flush=True)
    try:
        if not venv.exists():
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted]
        subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotStart(f"the other gateways could not be installed ({error})") from error


@contextlib.contextmanager
def vllm_router(bench: Bench, upstreams: Sequence[int], venv: Path) -> Iterator[Target]:
    """vLLM's router, which checks no keys. Raises CannotStart."""
    needed(venv, "vllm-router")
    port = free_port()
    command = [str(venv / "bin" / "vllm-router"), *_router(port, upstreams)]
    with bench.running("vllm-router", command, port, "/health") as pid:
        yield Target(Address("vllm-router", port, MODEL), pid)


@contextlib.contextmanager
def sglang_router(
    bench: Bench, upstreams: Sequence[int], venv: Path, *, auth: bool = True
) -> Iterator[Target]:
    """SGLang's router, which has one key for all callers. Raises CannotStart."""
    needed(venv, "sglang-router")
    port, key = free_port(), secrets.token_hex(16)
    command = [str(venv / "bin" / "python"), "-m", "sglang_router.launch_router"]
    command += [*_router(port, upstreams), "--prometheus-host", "127.0.0.1"]
    command += ["--api-key", key] if auth else []
    with bench.running("sglang-router", command, port, "/readiness") as pid:
        yield Target(Address("sglang-router", port, MODEL, key), pid)


def _router(port: int, upstreams: Sequence[int]) -> list[str]:
    """The words that both routers share: the cheapest of their policies, all else by default."""
    words = ["--host", "127.0.0.1", "--port", str(port), "--policy", "round_robin"]
    words += ["--prometheus-port", str(free_port()), "--worker-urls"]
    return words + [f"http://127.0.0.1:{each}" for each in upstreams]


LITELLM_HEALTH = "/health/liveliness"
LITELLM_QUIET = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""Its environment: no line a call, and no list of prices from the internet."""


def litellm_models(model: str, urls: Sequence[str]) -> list[dict[str, Any]]:
    """LiteLLM's `model_list`: model servers without keys as deployments of one model."""
    return [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": f"{url}/v1",
                "api_key": "none",
            },
        }
        for url in urls
    ]


@contextlib.contextmanager
def litellm(
    bench: Bench,
    upstreams: Sequence[int],
    venv: Path,
    *,
    auth: bool = True,
    cache_redis: int | None = None,
) -> Iterator[Target]:
    """LiteLLM's proxy with a master key and no database. Raises CannotStart.

    `cache_redis` is the port of a Redis that keeps its answers; without one it has no cache.
    """
    needed(venv, "litellm")
    port, key = free_port(), "sk-" + secrets.token_hex(16)
    urls = [f"http://127.0.0.1:{each}" for each in upstreams]
    config: dict[str, Any] = {
        "model_list": litellm_models(MODEL, urls),
        "general_settings": {"master_key": key} if auth else {},
        "litellm_settings": {"telemetry": False},
        "router_settings": {"num_retries": 2},
    }
    if cache_redis is not None:
        where = {"type": "redis", "host": "127.0.0.1", "port": cache_redis}
        config["litellm_settings"] |= {"cache": True, "cache_params": where}
    path = bench.folder / f"litellm-{port}.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [str(venv / "bin" / "litellm"), "--config", str(path), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--num_workers", "1"]
    with bench.running("litellm", command, port, LITELLM_HEALTH, **LITELLM_QUIET) as pid:
        yield Target(Address("litellm", port, MODEL, key), pid)
