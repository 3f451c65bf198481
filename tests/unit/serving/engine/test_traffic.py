"""How a replica counts its requests."""

import pytest

from serving.engine.traffic import Counted, Traffic
from serving.engine.warmup import Message, Scope


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def traffic(clock: Clock) -> Traffic:
    return Traffic(clock, window_s=10.0)


def test_rate_times_duration_is_what_will_be_in_flight(traffic: Traffic, clock: Clock) -> None:
    came = []
    for _ in range(40):
        clock.now += 0.25
        came.append(traffic.came())
    assert (traffic.in_flight, traffic.arrivals) == (40, 40)
    assert traffic.sure_rate == pytest.approx((40 - 2 * 40**0.5) / 10)
    assert traffic.offered == 0.0
    clock.now = came[0] + 20.0
    traffic.left(came[0])
    assert traffic.service_s == 20.0
    assert traffic.in_flight == 39


def test_arrivals_are_forgotten(traffic: Traffic, clock: Clock) -> None:
    for _ in range(100):
        traffic.left(traffic.came())
    assert traffic.sure_rate == 80.0
    clock.now += 10.0
    assert (traffic.arrivals, traffic.sure_rate, traffic.offered) == (0, 0.0, 0.0)


def test_a_few_long_answers_are_no_surge(traffic: Traffic, clock: Clock) -> None:
    first = traffic.came()
    clock.now += 300.0
    traffic.left(first)
    for _ in range(4):
        traffic.came()
    assert traffic.arrivals == 4
    assert traffic.offered == 0.0
    for _ in range(12):
        traffic.came()
    assert traffic.offered == pytest.approx((16 - 8) / 10 * 300)


def test_the_duration_is_that_of_the_last(traffic: Traffic, clock: Clock) -> None:
    for seconds in [1000.0] * 10 + [3.0] * 64:
        came = traffic.came()
        clock.now += seconds
        traffic.left(came)
    assert traffic.service_s == pytest.approx(3.0)


async def test_only_posts_are_counted_and_their_failures_too(
    traffic: Traffic, clock: Clock
) -> None:
    seen: list[int] = []

    async def app(scope: Scope, receive: object, send: object) -> None:
        seen.append(traffic.in_flight)
        clock.now += 2.0
        if scope["path"] == "/broken":
            raise ValueError("broken")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    counted = Counted(app, traffic)
    for method, path in (("GET", "/health"), ("POST", "/v1/completions")):
        await counted({"type": "http", "method": method, "path": path}, receive, send)
    await counted({"type": "lifespan"} | {"path": "/"}, receive, send)
    with pytest.raises(ValueError, match="broken"):
        await counted({"type": "http", "method": "POST", "path": "/broken"}, receive, send)
    own = {"type": "http", "method": "POST", "path": "/", "headers": [(b"x-r1-own", b"canary")]}
    await counted(own, receive, send)
    assert seen == [0, 1, 0, 1, 0]
    assert (traffic.in_flight, traffic.service_s) == (0, 2.0)
