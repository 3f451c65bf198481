"""A small stack whose faults are watched by the shipped alerts, with time run faster.

A gateway of two workers, two simulated engines, Redis, a light load, and a Prometheus that scrapes
and evaluates once a second. `FASTER` divides every window and every wait of the rules.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx

from scripts.observability import render
from scripts.observability.values import defaults
from tests.contract.stack import Gateway, Process, RedisServer, Simulator
from tests.integration.observability.prometheus import Job, Prometheus

FASTER = 30.0
SLACK_S = 30.0
"""For a scrape, an evaluation of each rule behind another, and a machine that is busy."""
WINDOW_S = 300.0
"""The rules' own window of rates, beside which an alert waits for its `for`."""
CALLERS = 4
UNBOUND, NARROW = "unbound", "narrow"
"""Models on the same engines: requests all go there at once, or two at a time to each."""
_TWO_PLACES = {"mode": "strict", "low_window": 2, "high_window": 2, "longest_wait_s": 600}
Kept = TypeVar("Kept", bound=Process)


class Callers:
    """Streams without an end to them, by so many callers at once; faults are what is tested."""

    def __init__(self, gateway: Gateway, count: int, **body: Any) -> None:
        self._gateway, self._body = gateway, body
        self._over = threading.Event()
        self._crowd = ThreadPoolExecutor(count)
        for _ in range(count):
            self._crowd.submit(self._call)

    def _call(self) -> None:
        while not self._over.is_set():
            with suppress(httpx.HTTPError):
                self._gateway.post(stream=True, **self._body)
            self._over.wait(0.1)

    def leave(self) -> None:
        """No more calls after those under way."""
        self._over.set()

    def stop(self) -> None:
        """End them after the answers under way."""
        self._over.set()
        self._crowd.shutdown()


class Drilled:
    """The processes, and what is asked of Prometheus about them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Start all of it; `stack` ends it, what uses something before that."""
        self.folder, self._stack = folder, stack
        self.redis = self._kept(self._redis())
        self.engines = [self._kept(self.engine()) for _ in range(2)]
        upstreams = [{"url": each.url, "model": "r1-nano"} for each in self.engines]
        self.gateway = self._kept(
            Gateway(
                folder / "gateway",
                self.redis,
                upstreams,
                listen={"workers": 2},
                model={"timeouts": {"connect_s": 1}},
                retry={"attempts": 3, "base_s": 0.01},
                # All ask the same: they would all go to one engine.
                pool={"affinity": False},
                # Alike in health; two that differ can't be told apart, so none is ejected.
                canary={"interval_s": 2, "doubt_s": 0.5, "timeout_s": 5},
                more_models=[
                    {"id": UNBOUND, "upstreams": upstreams, "batching": {"mode": "off"}},
                    {"id": NARROW, "upstreams": upstreams, "batching": _TWO_PLACES},
                ],
            )
        )
        here = {"namespace": "r1"}
        jobs = [
            Job("r1-gateway", [self.gateway.admin_url[7:]], labels=here),
            Job("r1-engines", [each.url[7:] for each in self.engines], labels=here),
        ]
        rules = render.text(render.groups(defaults(), faster=FASTER))
        self.prometheus = self._kept(Prometheus(folder / "prometheus", jobs, rules))
        self.prometheus.wait_scraped()
        self.waits: dict[str, float] = {
            rule["name"]: rule["duration"]
            for rule in self.prometheus.rules()
            if rule["type"] == "alerting"
        }

    def _redis(self, port: int | None = None) -> RedisServer:
        """A Redis that has its keys when it comes back."""
        return RedisServer(self.folder, port, "--appendonly", "yes", "--dir", str(self.folder))

    def engine(self, port: int | None = None) -> Simulator:
        """A simulated engine with a small KV cache and steps that take their time."""
        words = ("--step-ms", "5", "--kv-tokens", "4096", "--max-num-seqs", "64")
        return Simulator(self.folder, *words, port=port)

    def _kept(self, process: Kept) -> Kept:
        self._stack.callback(process.end)
        return process

    def revive(self, number: int) -> None:
        """Start an engine again that was killed, where it was."""
        self.engines[number] = self._kept(self.engine(self.engines[number].port))

    def revive_redis(self) -> None:
        """Start Redis again, where it was."""
        self.redis = self._kept(self._redis(self.redis.port))

    def stated_s(self, alert: str) -> float:
        """Seconds within which an alert is to fire, in the drill's time."""
        return self.waits[alert] + WINDOW_S / FASTER + SLACK_S

    def fires(self, alert: str, critical: tuple[str, ...] = ()) -> float:
        """Wait for an alert, and for none that is critical but those; returns seconds it took."""
        began = time.monotonic()
        while alert not in (firing := self.prometheus.firing()):
            took = time.monotonic() - began
            assert took < self.stated_s(alert), f"{alert} does not fire: {firing or 'none does'}"
            time.sleep(0.25)
        self.only(alert, *critical)
        return time.monotonic() - began

    def only(self, *expected: str) -> None:
        """Assert that no critical alert fires but those expected."""
        firing = self.prometheus.firing()
        wrong = {name for name, severity in firing.items() if severity == "critical"}
        assert wrong <= set(expected), firing

    def clears(self, *alerts: str, timeout_s: float = 120.0) -> None:
        """Wait until these do not fire, and nothing critical does.

        Others may go on: a spent error budget is news for longer than its cause.
        """
        began = time.monotonic()
        while wrong := self._wrong(alerts):
            assert time.monotonic() - began < timeout_s, f"still fires: {wrong}"
            time.sleep(0.25)

    def _wrong(self, alerts: Sequence[str]) -> dict[str, str]:
        firing = self.prometheus.firing()
        return {
            name: severity
            for name, severity in firing.items()
            if name in alerts or severity == "critical"
        }

    @contextmanager
    def load(self, count: int = CALLERS, **body: Any) -> Iterator[None]:
        """So many callers while something happens."""
        callers = Callers(self.gateway, count, **body)
        try:
            yield
        finally:
            callers.stop()

    @contextmanager
    def crowd(self, step: int, every_s: float, most: int = 90, **body: Any) -> Iterator[None]:
        """More and more callers while something happens: `step` more of them each time."""
        over = threading.Event()
        waves: list[Callers] = []

        def grow() -> None:
            while len(waves) * step < most and not over.wait(every_s):
                waves.append(Callers(self.gateway, step, **body))

        growing = threading.Thread(target=grow)
        growing.start()
        try:
            yield
        finally:
            over.set()
            growing.join()
            for wave in waves:
                wave.leave()
            for wave in waves:
                wave.stop()


@contextmanager
def drilled(folder: Path) -> Iterator[Drilled]:
    """All of it in health under a light load, ended in any case."""
    with ExitStack() as stack:
        made = Drilled(folder, stack)
        with made.load():
            yield made
