"""What replicas register is what Prometheus is told to scrape."""

import asyncio
import json
import urllib.request
from types import SimpleNamespace

import pytest
from redis.asyncio import Redis

from serving.engine import life
from serving.engine.ray_replica import Standing
from serving.registry import Registry, Replica
from serving.telemetry.node import node_telemetry
from tests.contract.stack import RedisServer


async def test_registered_replicas_are_targets(redis: RedisServer) -> None:
    here = Replica("http://10.9.8.7:30001/r1-telemetry", "r1-telemetry", 8)
    server = node_telemetry("127.0.0.1", 0, {"R1_REGISTRY_URL": redis.url})
    server.start()
    try:
        async with Redis.from_url(redis.url) as client:
            await Registry(client).announce(here)
            assert targets(server.port) == [("10.9.8.7:30001", "/r1-telemetry/metrics")]
            await Registry(client).withdraw(here)
            assert targets(server.port) == []
    finally:
        server.close()


async def test_a_replica_tells_when_it_is_registered(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1_REGISTRY_URL", redis.url)
    here = Standing("http://10.9.8.7:30002/r1-telemetry", leaving=False)
    monkeypatch.setattr(life, "standing", lambda: here)
    config = SimpleNamespace(
        model_id="r1-telemetry", deployment_config={}, engine_kwargs={}, experimental_configs={}
    )
    told: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    replica = life.Life(config, SimpleNamespace(logger_manager=None), told.set_result)
    replica.begin()
    try:
        assert 0 <= await asyncio.wait_for(told, 30) < 30
    finally:
        await replica.end()


def targets(port: int) -> list[tuple[str, str]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/replicas", timeout=10) as answer:
        groups = json.loads(answer.read())
    return [
        (group["targets"][0], group["labels"]["__metrics_path__"])
        for group in groups
        if group["labels"]["model"] == "r1-telemetry"
    ]
