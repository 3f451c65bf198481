"""A model server that stops where it is, its connections open: nobody waits for it for long."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.stack import (
    Gateway,
    RedisServer,
    Simulator,
    chat,
    read_stream,
    stream,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)

# A whole answer takes less than the silence that ends an attempt.
SLOW = {"reasoning": None, "content": None, "step_s": 0.015}


def test_answers_of_a_frozen_model_server_come_from_another_one(
    tmp_path: Path, redis: RedisServer
) -> None:
    engines = [Simulator(tmp_path) for _ in range(2)]
    for each in engines:
        each.control(**SLOW)
    gateway = Gateway(
        tmp_path / "gateway",
        redis,
        # Nearly all go to the first one.
        [{"url": engines[0].url, "weight": 1000}, {"url": engines[1].url}],
        # As many at a server as come.
        model={"batching": {"mode": "off"}},
        retry={"attempts": 5},
        # So long is no well server silent, also on a busy machine.
        pool={"free_requests": 8, "frozen_s": 5},
    )
    try:

        def streamed() -> tuple[str, str, str]:
            with stream(gateway, temperature=0) as response:
                *events, last = read_stream(response)
            deltas = [json.loads(each)["choices"][0]["delta"] for each in events]
            reasoning = "".join(each.get("reasoning_content") or "" for each in deltas)
            return reasoning, "".join(each.get("content") or "" for each in deltas), last

        uncut, whole = streamed(), gateway.post(temperature=0).json()["choices"]
        before = engines[0].seen()["sent"]
        with ThreadPoolExecutor(4) as pool:
            streams = [pool.submit(streamed) for _ in range(2)]
            calls = [pool.submit(gateway.post, **chat(temperature=0)) for _ in range(2)]

            def begun() -> bool:
                seen = engines[0].seen()
                return bool(seen["running"] == 4 and seen["sent"] > before + 20)

            wait_for(begun, "four answers of the first one, in their middle")
            engines[0].child.send_signal(signal.SIGSTOP)
            assert [each.result(90) for each in streams] == [uncut] * 2
            answers = [each.result(90).json() for each in calls]
        assert [each.get("choices", each) for each in answers] == [whole] * 2
        # It is counted behind the answer.
        wait_for(lambda: gateway.value("r1_resumes_total", outcome="ok") == 2, "both to be counted")
    finally:
        engines[0].child.send_signal(signal.SIGCONT)
        gateway.end()
        for each in engines:
            each.end()
