"""The canary of one model in one worker: takes the rounds that fall to it, goes by all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from gateway.canary.board import CanaryBoard, Heard, Replica, State
from gateway.canary.numbers import NOTHING, NoNumbers, question, read
from gateway.canary.policy import Standing, Verdict
from gateway.canary.told import Told, to_record, verdicts
from gateway.canary_settings import CanarySettings
from gateway.errors import UpstreamError, UpstreamFailed
from gateway.store.redis import StoreDown
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pool import Model, Upstream

_LOOKS = 5.0
"""A worker looks at the board so many times in an interval, but for these bounds, in seconds."""
_SHORTEST_LOOK_S, _LONGEST_LOOK_S = 0.2, 5.0
_FORGOTTEN = 10.0
"""Intervals after which a replica that is asked no more is forgotten."""


class CanaryWatcher(Protocol):
    """Hears of rounds: for the metrics."""

    def canary_asked(self, model: str, upstream: str, outcome: str) -> None:
        """A replica was asked, by this worker."""

    def canary_stands(
        self, model: str, upstream: str, *, drift: float | None, ejected: bool
    ) -> None:
        """How a replica stands, as all workers know it."""


class Canary:
    """Asks the replicas of a model when it is this worker's turn, and leaves out the ejected."""

    def __init__(
        self,
        model: Model,
        family: Callable[[], Sequence[Model]],
        board: CanaryBoard,
        client: UpstreamClient,
        settings: CanarySettings,
        watcher: CanaryWatcher,
        logger: logging.Logger,
        *,
        wall: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Args: `family` are the model and its adapters, which the same replicas serve; `wall`
        gives Unix time."""
        self._model = model
        self._family = family
        self._board = board
        self._client = client
        self._settings = settings
        self._watcher = watcher
        self._logger = logger
        self._wall = wall
        self._sleep = sleep

    async def run(self) -> None:
        """Look at the board until cancelled. While the store is away, what was known stays."""
        interval_s = self._settings.interval_s
        pause_s = min(max(_SHORTEST_LOOK_S, interval_s / _LOOKS), _LONGEST_LOOK_S)
        pause_s = min(pause_s, self._settings.doubt_s)
        state = State()
        while True:
            with suppress(StoreDown):
                state = await self._look(state)
                self._apply(state)
            await self._sleep(pause_s)

    def asked(self) -> list[Upstream]:
        """Those that can be asked now: not those whose model a look would wake."""
        return [
            each
            for each in self._model.upstreams
            if each.dialect.name == "vllm" and each.up and not (each.spare or each.draining)
        ]

    async def _look(self, known: State) -> State:
        settings = self._settings
        early = any(
            each.url not in known.replicas or known.replicas[each.url].standing.against
            for each in self.asked()
        )
        turn, state, wish = await self._board.look(
            self._model.id, early=early, lease_s=settings.timeout_s + settings.interval_s
        )
        return await self._round(state, wish) if turn else state

    async def _round(self, before: State, wish: str) -> State:
        """Ask all, judge, and tell the other workers."""
        settings, upstreams = self._settings, self.asked()
        answers = await asyncio.gather(*map(self._ask, upstreams))
        told = {each.url: answer for each, answer in zip(upstreams, answers, strict=True)}
        records = await self._board.records(self._model.id)
        new, refused = to_record(told, settings.tolerance) if wish else ({}, None)
        found = verdicts(told, records | new, settings.tolerance)
        replicas = self._still_known(before)
        for each in upstreams:
            old = before.replicas.get(each.url)
            standing = Standing() if old is None else old.standing
            replicas[each.url] = self._judged(each, told[each.url], found.get(each.url), standing)
        state = State(replicas, tuple(sorted({*records, *new})))
        await self._board.report(
            self._model.id,
            state,
            new,
            Heard(wish, refused),
            interval_s=settings.interval_s,
            early_s=settings.doubt_s,
        )
        return state

    def _judged(
        self, upstream: Upstream, told: Told, verdict: Verdict | None, before: Standing
    ) -> Replica:
        """How a replica stands after this round."""
        found = Verdict("alone", None) if verdict is None else verdict
        after = before.after(found.finding, self._settings.rounds)
        outcome = "failed" if verdict is None else found.finding
        self._watcher.canary_asked(self._model.id, upstream.name, outcome)
        if after.ejected != before.ejected:
            fields = {
                "model": self._model.id,
                "upstream": upstream.name,
                "variant": told.variant,
                "drift": found.drift,
                "mode": self._settings.mode,
            }
            event = "canary_ejected" if after.ejected else "canary_mended"
            self._logger.error(event, extra={"fields": fields})
        return Replica(
            upstream.name,
            told.variant,
            self._wall(),
            found.finding,
            found.drift,
            after,
            told.fault,
        )

    async def _ask(self, upstream: Upstream) -> Told:
        timeout_s = self._settings.timeout_s
        variant = upstream.weights or self._model.settings.revision or ""
        try:
            variant += f"@{await self._client.engine_version(upstream, timeout_s)}"
        except UpstreamError as error:
            return Told(variant, fault=error.code)
        try:
            answer = await self._client.completion(upstream, question(upstream.model), timeout_s)
            return Told(variant, read(answer))
        except NoNumbers:
            return Told(variant, NOTHING, "no_numbers")
        except UpstreamError as error:
            # It was asked and broke on its own answer.
            broke = error.code == UpstreamFailed.code
            return Told(variant, NOTHING if broke else None, error.code)

    def _still_known(self, before: State) -> dict[str, Replica]:
        """Those that another gateway may ask. One that was lost for a while stands as it stood."""
        oldest = self._wall() - _FORGOTTEN * self._settings.interval_s
        return {url: each for url, each in before.replicas.items() if each.at >= oldest}

    def _apply(self, state: State) -> None:
        ejects = self._settings.mode == "eject"
        for model in self._family():
            for each in model.upstreams:
                known = state.replicas.get(each.url)
                each.ejected = ejects and known is not None and known.standing.ejected
        for each in self._model.upstreams:
            known = state.replicas.get(each.url)
            if known is not None:
                self._watcher.canary_stands(
                    self._model.id, each.name, drift=known.drift, ejected=known.standing.ejected
                )
