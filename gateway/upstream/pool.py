"""The upstreams of one model, what is known of each, and which one to take."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.errors import UpstreamBusy, UpstreamError, UpstreamUnavailable
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.settings import PoolSettings
from gateway.upstream.balance import at_home, least_of_two, ramp
from gateway.upstream.breaker import Breaker, State
from gateway.upstream.dialects import Dialect
from gateway.upstream.dialects.llamacpp import LlamaCpp
from gateway.upstream.dialects.ollama import Ollama
from gateway.upstream.dialects.openai import OpenAi
from gateway.upstream.dialects.vllm import Vllm
from gateway.upstream.outlier import Record, stands_out
from gateway.upstream.visit import Visit, is_fault


def make_dialect(settings: UpstreamSettings) -> Dialect:
    """How an upstream is spoken with."""
    match settings.dialect:
        case "vllm":
            return Vllm()
        case "openai":
            return OpenAi(opens_think=settings.opens_think)
        case "llamacpp":
            return LlamaCpp(opens_think=settings.opens_think)
        case "ollama":
            return Ollama(opens_think=settings.opens_think)


@dataclass(slots=True, eq=False)
class Upstream:
    """One model server and what was learned of it. Times are of the worker's own clock."""

    name: str
    url: str
    model: str
    weight: float
    authorization: str | None
    dialect: Dialect
    up: bool = True
    looked_at: bool = False
    """Whether `up` was seen, and is not only hoped."""
    context_length: int | None = None
    think_end: int | None = None
    spare: bool = False
    """Asked only while no other is usable."""
    draining: bool = False
    """Finishes what it has and takes nothing new."""
    ejected: bool = False
    """Its numbers are wrong, says the canary: it is asked for nothing, whoever else is there."""
    weights: str = ""
    """Where its weights came from, if it told."""
    capacity: int | None = None
    """Sequences it runs at once, if it told."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters it has loaded."""
    since: float = -math.inf
    """When it came or recovered."""
    busy_until: float = -math.inf
    """It asked to be spared until then."""
    in_flight: int = 0
    """Attempts of this worker that are under way there."""
    breaker: Breaker = field(default_factory=lambda: Breaker(PoolSettings()))
    record: Record = field(default_factory=Record)

    @property
    def learned(self) -> bool:
        """True when its context length and the id of `</think>` are known."""
        return self.context_length is not None and self.think_end is not None

    def usable(self, now: float) -> bool:
        """Well as far as is known, and taking new requests."""
        return self.up and not self.draining and not self.ejected and self.breaker.admits(now)


class BreakerWatcher(Protocol):
    """Hears of breakers that open and close."""

    def breaker(self, model: str, upstream: str, state: State) -> None:
        """The breaker of `upstream` of `model` has this state now."""


class Pool:
    """Chooses among a model's upstreams and learns from how attempts there end.

    What it counts is of one worker: choosing by it keeps the load even where each worker does so.
    """

    def __init__(
        self,
        model: str,
        upstreams: Sequence[Upstream],
        settings: PoolSettings,
        watcher: BreakerWatcher,
        *,
        now: Callable[[], float],
        draw: Callable[[], float],
    ) -> None:
        self.upstreams: tuple[Upstream, ...] = tuple(upstreams)
        self.replaced = False
        self._configured = self.upstreams
        self.settings = settings
        self._model = model
        self._watcher = watcher
        self.now = now
        self._draw = draw
        for each in upstreams:
            self.tell(each)

    def visit(
        self,
        conversation: bytes | None,
        tried: Collection[Upstream] = (),
        *,
        continuing: bool = False,
    ) -> Visit:
        """Choose an upstream, if possible not one of `tried`, and begin an attempt there.

        The attempt is in flight until the visit's `end`. Requests of one `conversation` go to one
        upstream while there is room; the others by load alone. `continuing`: it has to be one that
        can go on with the answer that one of `tried` began. Raises UpstreamUnavailable if there is
        none such.
        """
        now = self.now()
        among = self.candidates(now, tried, continuing=continuing)
        if not among:
            raise self.nobody(continuing=continuing)
        return Visit(self, self.choose(conversation, among), now)

    @staticmethod
    def nobody(*, continuing: bool) -> UpstreamUnavailable:
        """The error for a request that nobody can answer, or an answer nobody can go on with."""
        if continuing:
            return UpstreamUnavailable("No model server is left that can go on with the answer.")
        return UpstreamUnavailable("No model server is left whose answers can be trusted.")

    def choose(self, conversation: bytes | None, among: Sequence[Upstream]) -> Upstream:
        """The one of these where a conversation belongs, or one by load alone."""
        if len(among) == 1:
            return among[0]
        now, settings = self.now(), self.settings
        loads = [each.in_flight for each in among]
        weights = [each.weight * ramp(now - each.since, settings.slow_start_s) for each in among]
        if conversation is not None and settings.affinity:
            place = at_home(
                conversation,
                [each.url.encode() for each in among],
                loads,
                weights,
                factor=settings.load_factor,
                free=settings.free_requests,
            )
        else:
            place = least_of_two(loads, weights, (self._draw(), self._draw()))
        return among[place]

    def candidates(
        self, now: float, tried: Collection[Upstream] = (), *, continuing: bool = False
    ) -> Sequence[Upstream]:
        """Those to choose from: never none, but for `continuing` and where all are ejected.

        The usable ones; among them those not tried yet, the replicas before the spares, and last
        those that didn't ask to be spared. Where none is usable the others may be asked all the
        same: an attempt tells more than a refusal.
        """
        able = self._trusted()
        if continuing:
            able = [each for each in able if each.dialect.continues and _alike(each, tried)]
        usable = [each for each in able if each.usable(now)]
        if not usable:
            staying = [each for each in able if not each.draining] or able
            left = [each for each in staying if each.up] or staying
            return [each for each in left if each not in tried] or left
        left = [each for each in usable if each not in tried] or usable
        left = [each for each in left if not each.spare] or left
        return [each for each in left if each.busy_until <= now] or left

    def _trusted(self) -> Sequence[Upstream]:
        """Those that may be asked. Behind a spare one may be just the one that is ejected."""
        if not any(each.ejected for each in self.upstreams):
            return self.upstreams
        return [each for each in self.upstreams if not (each.ejected or each.spare)]

    def others(self, tried: Collection[Upstream]) -> bool:
        """Whether a usable upstream is left that was not tried and did not ask to be spared."""
        now = self.now()
        return any(
            each.usable(now) and each.busy_until <= now and each not in tried
            for each in self._trusted()
        )

    def lost(self, upstream: Upstream) -> bool:
        """Whether an upstream was looked at and found ill, and another one could be asked."""
        return upstream.looked_at and not upstream.up and self.others([upstream])

    def answered(self, visit: Visit) -> None:
        """An upstream answers: if it was left alone, it is no more."""
        upstream, now = visit.upstream, self.now()
        if upstream.breaker.worked(visit.ticket, now):
            upstream.since = now
            self.tell(upstream)

    def ended(self, visit: Visit, *, worked: bool, error: UpstreamError | None) -> None:
        """An attempt is over: it worked, failed by `error`, or tells nothing."""
        upstream, now = visit.upstream, self.now()
        upstream.in_flight -= 1
        if isinstance(error, UpstreamBusy):
            pause = self.settings.busy_s if error.retry_after_s is None else error.retry_after_s
            upstream.busy_until = now + min(pause, self.settings.longest_open_s)
        if worked:
            upstream.record.add(now, failed=False)
            self.answered(visit)
        elif error is not None and is_fault(error):
            upstream.record.add(now, failed=True)
            self._failed(visit, now)
        elif visit.ticket.probe:
            upstream.breaker.left(visit.ticket)
            self.tell(upstream)

    def _failed(self, visit: Visit, now: float) -> None:
        """Open the breaker if there is reason to, but never of the last usable upstream."""
        upstream, settings = visit.upstream, self.settings
        peers = [each for each in self.upstreams if each is not upstream]
        last = not any(each.usable(now) and each.breaker.state is State.CLOSED for each in peers)
        opened = upstream.breaker.failed(visit.ticket, now, self._draw(), may_open=not last)
        if not opened and not last and upstream.breaker.state is State.CLOSED:
            records = [each.record for each in peers]
            if stands_out(upstream.record, records, settings.failure_gap):
                upstream.breaker.trip(now, self._draw())
                opened = True
        if opened:
            # What it did before its pause is no reason for another one.
            upstream.record = Record()
            self.tell(upstream)

    def tell(self, upstream: Upstream) -> None:
        """Tell the watcher of an upstream's breaker, unless the upstream has gone meanwhile."""
        if upstream in self.upstreams:
            self._watcher.breaker(self._model, upstream.name, upstream.breaker.state)

    def replace(self, replicas: Sequence[Upstream]) -> None:
        """Ask these replicas from now on, besides the upstreams of the configuration."""
        known = set(self.upstreams)
        self.replaced = True
        self.upstreams = (*replicas, *self._configured)
        for each in replicas:
            if each not in known:
                self.tell(each)


@dataclass(frozen=True, slots=True)
class Model:
    """A model with its upstreams."""

    settings: ModelSettings
    pool: Pool

    @property
    def id(self) -> str:
        """The id that answers carry."""
        return self.settings.id

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """All that are known now."""
        return self.pool.upstreams


def _alike(upstream: Upstream, tried: Collection[Upstream]) -> bool:
    """Whether it may have the weights of these: while a model changes, both kinds are there."""
    known = {each.weights for each in tried if each.weights}
    return not (upstream.weights and known - {upstream.weights})


def make_model(
    settings: ModelSettings,
    read_key: Callable[[UpstreamSettings], str | None],
    pool: PoolSettings,
    watcher: BreakerWatcher,
    *,
    now: Callable[[], float],
    draw: Callable[[], float],
) -> Model:
    """A model from its settings.

    Args:
        settings: of the model.
        read_key: gives an upstream's engine key.
        pool: settings of its pool.
        watcher: hears of its breakers.
        now: seconds of a clock that does not go back.
        draw: uniform in [0, 1).
    """
    upstreams = []
    for each in settings.upstreams:
        key = read_key(each)
        dialect = make_dialect(each)
        upstreams.append(
            Upstream(
                name=each.name,
                url=dialect.base(each.url),
                model=each.model or settings.id,
                weight=each.weight,
                authorization=None if key is None else f"Bearer {key}",
                dialect=dialect,
                context_length=settings.context_length,
                think_end=settings.think_end_token_id,
                spare=settings.discovery == "registry",
                breaker=Breaker(pool),
            )
        )
    return Model(settings, Pool(settings.id, upstreams, pool, watcher, now=now, draw=draw))
