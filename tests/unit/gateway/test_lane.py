"""One model's door: who goes in, who waits, and what becomes of places."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.batching.board import Offer, OwnBoard, Standing
from gateway.batching.guest import Guest
from gateway.batching.lane import Lane
from gateway.batching_settings import Batching
from gateway.errors import Overloaded
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.settings import PoolSettings
from gateway.store.redis import StoreDown
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files
from gateway.upstream.pool import Model, make_model
from gateway.upstream.visit import Visit
from r1.fleet import clock

URLS = ("http://one", "http://two")


class Down:
    """A board whose store is away."""

    async def trade(self, name: str, offer: Offer) -> Standing:
        raise StoreDown

    async def leave(self, name: str) -> None:
        raise StoreDown


class Bench:
    """A lane in virtual time, in front of one replica or two."""

    def __init__(self, *, board: Any = None, urls: int = 1, workers: int = 1, **more: Any) -> None:
        loop = asyncio.get_running_loop()
        metrics = Metrics(Meter(Sheet(make_files())))
        upstreams = tuple(UpstreamSettings(url=url) for url in URLS[:urls])
        self.model: Model = make_model(
            ModelSettings(id="m", upstreams=upstreams),
            lambda upstream: None,
            PoolSettings(),
            metrics,
            now=loop.time,
            draw=lambda: 0.0,
        )
        settings = Batching(**{"mode": "strict", "low_window": 2, "high_window": 2, **more})
        self.lane = Lane(
            "m",
            self.model.pool,
            settings,
            board or OwnBoard(workers),
            metrics,
            name="m",
            workers=workers,
        )
        self.running = loop.create_task(self.lane.run())

    def guest(self, key: str = "k", *, prefix: bytes | None = None, **more: Any) -> Guest:
        given: dict[str, Any] = {"time_left": 10.0**6, **more}
        return Guest("t", key, "normal", None, lambda: prefix, **given)

    def enter(self, key: str = "k", **more: Any) -> asyncio.Task[Visit]:
        return asyncio.create_task(self.lane.enter(self.guest(key, **more)))


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        clock.run(test())

    run.__doc__ = test.__doc__
    return run


async def pause() -> None:
    """Let everything that is due happen."""
    await asyncio.sleep(0.001)


@virtual
async def test_as_many_go_in_as_the_window_allows_and_the_next_when_one_leaves() -> None:
    bench = Bench()
    asked = [bench.enter() for _ in range(4)]
    await pause()
    assert [each.done() for each in asked] == [True, True, False, False]
    asked[0].result().end(worked=True)
    await pause()
    assert [each.done() for each in asked] == [True, True, True, False]


@virtual
async def test_each_replica_has_its_own_window() -> None:
    bench = Bench(urls=2)
    asked = [bench.enter() for _ in range(6)]
    await pause()
    visits = [each.result() for each in asked if each.done()]
    assert sorted(each.upstream.url for each in visits) == [*[URLS[0]] * 2, *[URLS[1]] * 2]


@virtual
async def test_an_answer_that_has_begun_goes_before_all_who_wait() -> None:
    bench = Bench()
    inside = [bench.enter() for _ in range(2)]
    await pause()
    waiting = bench.enter()
    await pause()
    going_on = bench.enter(continuing=True)
    await pause()
    inside[0].result().end(worked=True)
    await pause()
    assert (going_on.done(), waiting.done()) == (True, False)


@virtual
async def test_one_who_leaves_while_it_waits_takes_no_place() -> None:
    bench = Bench()
    inside = [bench.enter() for _ in range(2)]
    await pause()
    gone, patient = bench.enter(), bench.enter()
    await pause()
    # The place comes and the caller goes in the same turn of the loop.
    inside[0].result().end(worked=True)
    gone.cancel()
    await pause()
    assert gone.cancelled()
    assert patient.done()
    assert bench.model.upstreams[0].in_flight == 2


@virtual
async def test_requests_that_begin_alike_go_together() -> None:
    bench = Bench(urls=2)
    inside = [bench.enter() for _ in range(4)]
    await pause()
    waiting = [bench.enter("k", prefix=prefix) for prefix in (b"a", b"b", b"a", b"b")]
    await pause()
    one = [each.result() for each in inside if each.result().upstream.url == URLS[0]]
    two = [each.result() for each in inside if each.result().upstream.url == URLS[1]]
    for visit in (one[0], two[0], one[1], two[1]):
        visit.end(worked=True)
        await pause()
    places = [each.result().upstream.url for each in waiting]
    assert places[0] == places[2] != places[1] == places[3]


@virtual
async def test_a_burst_leaves_a_place_for_a_key_that_was_here() -> None:
    bench = Bench(low_window=4, high_window=4)
    visit = await bench.lane.enter(bench.guest("steady"))
    visit.end(worked=True)
    burst = [bench.enter("burst") for _ in range(6)]
    await pause()
    assert sum(each.done() for each in burst) == 3
    steady = bench.enter("steady")
    await pause()
    assert steady.done()


@virtual
async def test_who_has_no_time_to_wait_is_told_so() -> None:
    bench = Bench(longest_wait_s=5.0)
    for _ in range(2):
        bench.enter()
    await pause()
    began = asyncio.get_running_loop().time()
    with pytest.raises(Overloaded) as refused:
        await bench.lane.enter(bench.guest(time_left=0.5))
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.5, abs=0.01)
    assert refused.value.status == 503
    assert refused.value.retry_after_s is not None


@virtual
async def test_a_time_without_requests_makes_no_wait_longer() -> None:
    bench = Bench()
    for _ in range(3):
        asked = [bench.enter() for _ in range(4)]
        await asyncio.sleep(1.0)
        for each in asked:
            (await each).end(worked=True)
        await asyncio.sleep(3600.0)
    asked = [bench.enter() for _ in range(4)]
    await pause()
    assert not any(each.done() and each.exception() for each in asked)


@virtual
async def test_a_queue_that_is_too_long_is_told_at_once_with_an_honest_time() -> None:
    bench = Bench(longest_wait_s=30.0)

    async def answer(seconds: float) -> None:
        visit = await bench.lane.enter(bench.guest())
        await asyncio.sleep(seconds)
        visit.end(worked=True)

    # Two places, a second each: twenty wait for 10 s.
    running = [asyncio.create_task(answer(1.0)) for _ in range(14)]
    await asyncio.sleep(5.2)
    running += [asyncio.create_task(answer(1.0)) for _ in range(18)]
    await pause()
    with pytest.raises(Overloaded, match="too long") as refused:
        await bench.lane.enter(bench.guest(time_left=5.0))
    back_s = refused.value.retry_after_s
    assert back_s is not None
    await asyncio.sleep(back_s)
    visit = await bench.lane.enter(bench.guest(time_left=9.0))
    visit.end(worked=True)
    await asyncio.gather(*running)


@virtual
async def test_a_full_queue_has_room_for_those_who_do_not_fill_it() -> None:
    bench = Bench(queue=2)
    for _ in range(2):
        bench.enter("flood")
    await pause()
    flood = [bench.enter("flood") for _ in range(3)]
    await pause()
    assert [each.done() for each in flood] == [False, False, True]
    other = bench.enter("other")
    await pause()
    assert not other.done()
    evicted = flood[1].exception()
    assert isinstance(evicted, Overloaded)
    assert evicted.status == 429


@virtual
async def test_without_a_store_a_worker_has_its_part() -> None:
    bench = Bench(board=Down(), workers=2, low_window=4, high_window=4)
    asked = [bench.enter() for _ in range(4)]
    await pause()
    assert sum(each.done() for each in asked) == 2


@virtual
async def test_a_lane_at_rest_holds_nothing_and_wakes_up() -> None:
    bench = Bench()
    (await bench.lane.enter(bench.guest())).end(worked=True)
    await asyncio.sleep(60.0)
    assert not bench.lane.occupied
    (await bench.lane.enter(bench.guest())).end(worked=True)


@virtual
async def test_a_replica_that_goes_is_forgotten_and_a_new_one_is_used() -> None:
    bench = Bench(urls=2)
    first, second = bench.model.upstreams
    first.draining = True
    asked = [bench.enter() for _ in range(3)]
    await pause()
    assert {each.result().upstream for each in asked if each.done()} == {second}
    first.draining = False
    await asyncio.sleep(1.0)
    assert asked[2].done()


@pytest.mark.parametrize("turns", range(6))
def test_a_lane_ends_also_when_it_is_woken_in_that_moment(turns: int) -> None:
    async def test() -> None:
        bench = Bench()
        await asyncio.sleep(0.1)
        bench.lane.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        bench.running.cancel()
        await asyncio.wait([bench.running], timeout=60)
        assert bench.running.cancelled()

    clock.run(test())
