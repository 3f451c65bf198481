"""Three times the callers that can be served: who is, and what the others are told."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.stack import Gateway, RedisServer, Simulator, read_stream, stream, wait_for

pytestmark = pytest.mark.timeout(120)

WINDOW, QUEUE = 4, 8
USERS = 3 * (WINDOW + QUEUE)
CALLS = 6


@pytest.fixture
def gateway(tmp_path: Path, pair: tuple[Simulator, Simulator]) -> Iterator[Gateway]:
    store = RedisServer(tmp_path)
    pair[0].control(step_s=0.005)
    batching = {"mode": "strict", "low_window": WINDOW, "high_window": WINDOW, "queue": QUEUE}
    started = Gateway(tmp_path / "gw", store, [{"url": pair[0].url}], model={"batching": batching})
    yield started
    started.end()
    store.end()


def test_an_overload_is_told_and_nobody_admitted_is_dropped(gateway: Gateway) -> None:
    workers = gateway.worker_pids()

    def user(_: int) -> list[tuple[int, str]]:
        """Status, and the last event or when to come back."""
        seen = []
        for _ in range(CALLS):
            with stream(gateway, max_tokens=40, ignore_eos=True) as answer:
                events = read_stream(answer) if answer.status_code == 200 else None
                if events is None:
                    assert "overloaded" in answer.read().decode()
                last = answer.headers["retry-after"] if events is None else events[-1]
                seen.append((answer.status_code, last))
        return seen

    with ThreadPoolExecutor(USERS) as pool:
        calls = [call for calls in pool.map(user, range(USERS)) for call in calls]
    served = [last for status, last in calls if status == 200]
    shed = [last for status, last in calls if status in (429, 503)]
    assert len(served) + len(shed) == USERS * CALLS
    assert set(served) == {"[DONE]"}
    assert len(served) >= WINDOW + QUEUE
    assert shed
    assert min(int(seconds) for seconds in shed) >= 1
    assert gateway.value("r1_rejections_total") == len(shed)
    assert gateway.worker_pids() == workers
    gauges = ("r1_inflight_requests", "r1_queue_depth", "r1_batch_size")
    wait_for(lambda: not any(gateway.value(each) for each in gauges), "nobody left inside")
