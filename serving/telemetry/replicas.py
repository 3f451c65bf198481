"""Where the engines' own metrics are: all registered replicas, as Prometheus discovers targets.

Each replica's `/metrics` has vLLM's metrics under vLLM's names. The answer has the form of
https://prometheus.io/docs/prometheus/latest/http_sd/.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from serving.registry import URL_VARIABLE, connect

PREFIX = "r1:replicas:"


class NoRegistry(Exception):
    """No registry was named, so replicas can't be listed."""


def target(model: str, url: str) -> dict[str, Any]:
    """Return the target group of one replica; `url` is its base, without `/v1`."""
    parts = urlsplit(url)
    return {
        "targets": [parts.netloc],
        "labels": {
            "__scheme__": parts.scheme,
            "__metrics_path__": f"{parts.path.rstrip('/')}/metrics",
            "model": model,
        },
    }


def living(entries: Mapping[str, str], now: float) -> list[str]:
    """Return the URLs of a model's hash in the registry that are not over (serving/registry.py)."""
    return sorted(url for url, value in entries.items() if float(value.split(" ", 1)[0]) > now)


async def registered(client: Any) -> list[dict[str, Any]]:
    """Return the target groups of all replicas in a registry.

    Args:
        client: a Redis of redis.asyncio, or a cluster of it.

    Raises:
        RedisError: the store is away.
    """
    now = await _now(client)
    found = []
    async for key in client.scan_iter(match="*r1*:replicas:*"):
        model = _text(key).replace("{r1}", "r1", 1).removeprefix(PREFIX)
        if ":" in model:  # what gateways keep beside it
            continue
        entries = {_text(url): _text(value) for url, value in (await client.hgetall(key)).items()}
        found += [target(model, url) for url in living(entries, now)]
    return sorted(found, key=json.dumps)


def discover(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the target groups of all replicas in the registry that the environment names.

    Raises:
        NoRegistry: it names none.
        WrongStoreUrl: it is no URL of a store.
        RedisError: the store is away.
    """
    url = environment.get(URL_VARIABLE)
    if not url:
        raise NoRegistry(f"{URL_VARIABLE} is not set: give the URL of the replicas' store")

    async def ask() -> list[dict[str, Any]]:
        async with connect(url) as client:
            return await registered(client)

    return asyncio.run(ask())


async def _now(client: Any) -> float:
    told = await client.time()
    # The client of a cluster may ask every node.
    seconds, _ = next(iter(told.values())) if isinstance(told, dict) else told
    return float(seconds)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
