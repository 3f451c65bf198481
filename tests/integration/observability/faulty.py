"""A gateway of two workers to which everything rare has happened, so that its series are there."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.contract.keyed import PRICES
from tests.contract.stack import (
    HTTP,
    Gateway,
    RedisServer,
    Simulator,
    chat,
    stream,
    wait_for,
)

CACHED, GUARDED, NARROW = "cached", "guarded", "narrow"
LOOP = {"action": "stop", "longest_round": 16, "rounds": 4, "tokens": 64}
CROWD = 24


class Faulty:
    """The gateway, its two model servers and its Redis."""

    def __init__(self, folder: Path, redis: RedisServer, pair: tuple[Simulator, Simulator]) -> None:
        self.redis, self.pair = redis, pair
        upstreams = [{"url": each.url, "model": "r1-nano"} for each in pair]
        self.gateway = Gateway(
            folder / "gateway",
            redis,
            [{"url": each.url} for each in pair],
            listen={"workers": 2},
            model={"prices": PRICES},
            retry={"attempts": 3, "base_s": 0.01},
            # All ask the same: with affinity they would all go to one model server.
            pool={"open_s": 0.2, "longest_open_s": 1, "affinity": False},
            limits={"watch_interval_s": 0.2},
            # It asks both and finds them alike; what is provoked here shall not eject them.
            canary={"mode": "watch", "interval_s": 1, "doubt_s": 0.2, "timeout_s": 5},
            more_models=[
                {"id": CACHED, "upstreams": upstreams, "cache": {"mode": "deterministic"}},
                {
                    "id": GUARDED,
                    "upstreams": upstreams,
                    "repetition": LOOP,
                    "advice": {"language_guard": "count"},
                },
                {
                    "id": NARROW,
                    "upstreams": upstreams,
                    "batching": {"mode": "strict", "low_window": 1, "queue": 1},
                },
            ],
        )

    def reset(self) -> None:
        """Both model servers in health."""
        for each in self.pair:
            each.reset()

    def seen(self, metric: str, **labels: str) -> bool:
        """Whether the gateway has counted something under these labels."""
        return self.gateway.value(metric, **labels) > 0

    def until(self, happens: Callable[[], object], metric: str, **labels: str) -> None:
        """Do something until the gateway has counted it; workers take turns by chance."""

        def counted() -> bool:
            happens()
            return self.seen(metric, **labels)

        wait_for(counted, f"{metric}{labels}", 30)

    def ask(self) -> None:
        """What goes on all the time: whole answers, streamed ones, cached ones, guarded ones."""
        # Faults are provoked meanwhile.
        with suppress(httpx.HTTPError):
            self.gateway.post()
            for model in ("r1-nano", CACHED, GUARDED):
                self._stream(model=model, temperature=0)

    def provoke(self) -> None:
        """Let everything rare happen once.

        New workers know nothing of the last retry: the configuration is read again before it.
        """
        for step in (
            self._reloaded,
            self._well,
            self._cached,
            self._refused,
            self._crowded,
            self._guarded,
            self._left,
            self._lost,
            self._failing,
            self._without_store,
        ):
            self.reset()
            step()
        self.reset()

    def _well(self) -> None:
        for _ in range(4):
            self.ask()

    def _cached(self) -> None:
        same = {"model": CACHED, "temperature": 0}
        self.pair[0].control(step_s=0.02)
        self.pair[1].control(step_s=0.02)

        def together() -> None:
            with ThreadPoolExecutor(6) as crowd:
                list(crowd.map(lambda _: self._stream(**same), range(6)))

        self.until(together, "r1_cache_requests_total", result="hit")
        self.until(lambda: self.gateway.post(model=CACHED), "r1_cache_requests_total")

    def _refused(self) -> None:
        url = self.gateway.url + "/v1/chat/completions"
        for key in ("r1-nonsense", "sk-nobody"):
            HTTP.post(url, json=chat(), headers={"authorization": f"Bearer {key}"})
        self.gateway.post(model="nobody")
        self.until(lambda: self.gateway.post(temperature=99), "r1_rejections_total")

    def _crowded(self) -> None:
        for each in self.pair:
            each.control(step_s=0.05)

        def crowd() -> None:
            with ThreadPoolExecutor(CROWD) as callers:
                list(callers.map(lambda _: self.gateway.post(model=NARROW), range(CROWD)))

        self.until(crowd, "r1_rejections_total", reason="queue_full")
        assert self.seen("r1_queue_wait_seconds_count", model=NARROW)

    def _guarded(self) -> None:
        for each in self.pair:
            each.control(content="Wait, no. ", loops=True)
        self.until(lambda: self._stream(model=GUARDED, max_tokens=400), "r1_repetition_guard_total")
        for each in self.pair:
            each.control(content="答案是十二，因为七加五等于十二。", loops=False)
        self.until(lambda: self.gateway.post(model=GUARDED), "r1_language_guard_total")

    def _left(self) -> None:
        for each in self.pair:
            each.control(step_s=0.05)

        def leave() -> None:
            with stream(self.gateway) as response:
                next(response.iter_bytes())

        self.until(leave, "r1_disconnects_total")

    def _lost(self) -> None:
        self.pair[0].control(fault="reset", after=4)
        self.until(self._stream, "r1_resumes_total", outcome="ok")

    def _failing(self) -> None:
        for each in self.pair:
            each.control(status=500)
        self.until(self.gateway.post, "r1_breaker_state")
        assert self.seen("r1_requests_total", code="502")

    def _reloaded(self) -> None:
        good = self.gateway.config.read_text()
        self.gateway.config.write_text("models: nonsense\n")
        self.until(lambda: None, "r1_config_reloads_total", result="refused")
        self.gateway.config.write_text(good + "# read again\n")
        self.until(lambda: None, "r1_config_reloads_total", result="ok")
        self.gateway.wait_ready()

    def _without_store(self) -> None:
        self.redis.child.send_signal(signal.SIGSTOP)
        try:
            self.until(self.gateway.post, "r1_store_errors_total")
        finally:
            self.redis.child.send_signal(signal.SIGCONT)

    def _stream(self, **body: Any) -> None:
        with stream(self.gateway, **body) as response:
            for _ in response.iter_bytes():
                pass


@contextmanager
def trickle(*asks: Callable[[], object]) -> Iterator[None]:
    """A light load meanwhile, so that rates are of something."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.2):
            for ask in asks:
                ask()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def faulty(folder: Path) -> Iterator[Faulty]:
    """All of its processes, ended in any case."""
    redis = RedisServer(folder)
    pair: tuple[Simulator, ...] = ()
    try:
        pair = (Simulator(folder), Simulator(folder))
        made = Faulty(folder, redis, (pair[0], pair[1]))
        try:
            yield made
        finally:
            made.gateway.end()
    finally:
        for each in (*pair, redis):
            each.end()
