"""The upstreams of one model, what is known of each, and which one to take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.settings import ModelSettings, UpstreamSettings
from gateway.upstream.dialects import Dialect
from gateway.upstream.dialects.llamacpp import LlamaCpp
from gateway.upstream.dialects.ollama import Ollama
from gateway.upstream.dialects.openai import OpenAi
from gateway.upstream.dialects.vllm import Vllm


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


@dataclass(slots=True)
class Upstream:
    """One model server and what was learned of it."""

    name: str
    url: str
    model: str
    weight: float
    authorization: str | None
    dialect: Dialect
    up: bool = True
    context_length: int | None = None
    think_end: int | None = None

    @property
    def learned(self) -> bool:
        """True when its context length and the id of `</think>` are known."""
        return self.context_length is not None and self.think_end is not None


@dataclass(frozen=True, slots=True)
class Model:
    """A model with its upstreams."""

    settings: ModelSettings
    upstreams: tuple[Upstream, ...]

    @property
    def id(self) -> str:
        """The id that answers carry."""
        return self.settings.id


def make_model(
    settings: ModelSettings, read_key: Callable[[UpstreamSettings], str | None]
) -> Model:
    """A model from its settings; `read_key` gives an upstream's engine key."""
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
            )
        )
    return Model(settings, tuple(upstreams))


def pick(upstreams: Sequence[Upstream], draw: float, tried: Sequence[Upstream] = ()) -> Upstream:
    """One of the healthy upstreams, by weight; of all when none is healthy.

    Those that were tried already are taken only where no other is healthy.

    `draw` is uniform in [0, 1). The last upstream is never left out: one that was found ill may
    be well again, and an attempt tells more than a refusal.
    """
    healthy = [each for each in upstreams if each.up] or list(upstreams)
    candidates = [each for each in healthy if each not in tried] or healthy
    point = draw * sum(each.weight for each in candidates)
    for each in candidates:
        point -= each.weight
        if point < 0:
            return each
    return candidates[-1]
