"""The steady traffic through the gateway: a lost model server is not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.steady.traffic import Load
from loadtests.streams import Target
from tests.contract.stack import Gateway, RedisServer, Simulator, wait_for
from tests.e2e.traffic import flowing, known

LOAD = Load(long_tokens=1000, pause_s=0.05, timeout_s=30)
STEP_S = 0.002

pytestmark = pytest.mark.timeout(240)


def test_streams_of_a_killed_model_server_are_whole_to_the_last_token(
    tmp_path: Path, redis: RedisServer
) -> None:
    engines = [Simulator(tmp_path) for _ in range(2)]
    for each in engines:
        each.control(reasoning=None, content=None, step_s=STEP_S)
    upstreams = [{"url": each.url} for each in engines]
    gateway = Gateway(tmp_path / "gateway", redis, upstreams, retry={"attempts": 3})
    try:
        target = Target("gateway", f"{gateway.url}/v1", "r1-nano", gateway.key)
        traffic = known(target, LOAD)
        with flowing(traffic) as watched:
            wait_for(lambda: engines[0].seen()["running"] > 0, "a stream of the first engine")
            engines[0].child.kill()
        assert watched.report().good, watched.report().text()
        assert gateway.value("r1_resumes_total", outcome="ok") >= 1
    finally:
        gateway.end()
        for each in engines:
            each.end()
