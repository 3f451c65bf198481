"""A replica's life after its warm-up: what it tells the gateways, the autoscaler and Ray Serve."""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from serving.engine import vitals
from serving.engine.progress import QUIET_S, STALL_S, Progress, Verdict
from serving.engine.ray_replica import standing
from serving.engine.traffic import Traffic
from serving.engine.vitals import Vitals
from serving.registry import URL_VARIABLE, Registry, Replica, connect

# A store that hears of a replica every two seconds has 500 operations a second from a thousand.
RENEW_S = 2.0


class EngineStalled(RuntimeError):
    """The engine makes no step although somebody waits for one."""


class Life:
    """One replica with its engine, from the warm-up to the end."""

    def __init__(
        self, config: Any, client: Any, registered: Callable[[float], None] = lambda seconds: None
    ) -> None:
        """Args: `config` is Ray Serve LLM's LLMConfig, `client` vLLM's AsyncLLM.

        `registered` takes the seconds from `begin` to the first entry in the registry.
        """
        autoscaling = config.deployment_config.get("autoscaling_config") or {}
        self.traffic = Traffic(time.monotonic, autoscaling.get("look_back_period_s", 30.0))
        self.adapters: tuple[str, ...] = ()
        """Names of the LoRA adapters that are loaded."""
        self._model: str = config.model_id
        self._weights = str(config.experimental_configs.get("weights", ""))
        self._capacity = int(config.engine_kwargs.get("max_num_seqs", 1))
        self._client = client
        self._registered = registered
        self._vitals = Vitals()
        stall_s = float(config.experimental_configs.get("stall_s", STALL_S))
        self._progress = Progress(stall_s, min(QUIET_S, stall_s), stepped=time.monotonic())
        self._stalled = False
        self._asking: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._waiting = 0

    def begin(self) -> None:
        """Listen to the engine, and register where a registry is.

        Raises:
            WrongStoreUrl: the registry's URL is none.
        """
        vitals.listen(self._client, self._vitals)
        url = os.environ.get(URL_VARIABLE)
        if url:
            self._keeping = asyncio.create_task(self._register(connect(url)))

    async def end(self) -> None:
        """Be forgotten by the gateways."""
        for task in (self._keeping, self._asking):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def check(self) -> None:
        """Look whether the engine still makes steps.

        Raises:
            EngineStalled: it owes one for too long.
        """
        if not vitals.hears(self._client):
            return
        unfinished = vitals.unfinished(self._client)
        verdict = self._progress.look(time.monotonic(), self._vitals.steps, unfinished)
        self._stalled = verdict is Verdict.STALLED
        if self._stalled:
            raise EngineStalled(
                f"the engine of {self._model} made no step for {self._progress.stall_s:.0f} s "
                f"although {unfinished} request(s) wait for one"
            )
        if verdict is Verdict.ASK and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(vitals.ask_for_a_token(self._client))

    def demand(self) -> dict[str, float]:
        """What the autoscaler goes by: requests inside, at the gateways, and to be expected."""
        return {
            "in_flight": float(self.traffic.in_flight),
            "arrivals": float(self.traffic.arrivals),
            "offered": self.traffic.offered,
            "waiting": float(self._waiting),
        }

    def entry(self) -> Replica | None:
        """What the registry says of this replica; None before its HTTP server listens."""
        at = standing()
        if at is None:
            return None
        return Replica(
            url=at.url,
            model=self._model,
            capacity=self._capacity,
            state="draining" if at.leaving or self._stalled else "ready",
            adapters=self.adapters,
            load=self.traffic.in_flight,
            kv_used=self._vitals.kv_used,
            prefix_hits=self._vitals.prefix_hits,
            weights=self._weights,
        )

    async def _register(self, client: Any) -> None:
        began: float | None = time.monotonic()

        def heard(waiting: int) -> None:
            nonlocal began
            self._waiting = waiting
            if began is not None:
                self._registered(time.monotonic() - began)
                began = None

        try:
            await Registry(client, renew_s=RENEW_S).keep(self.entry, heard)
        finally:
            await client.aclose()
