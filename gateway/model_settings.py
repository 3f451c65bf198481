"""The configuration of one model: its names, its servers, how it is asked and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from gateway.batching_settings import Batching
from gateway.canary_settings import CanarySettings
from gateway.protocol.repetition import Loop
from gateway.settings_types import HttpUrl, Seconds, Section, off


class Prices(Section):
    """Prices in USD for a million tokens."""

    input_miss: Annotated[float, Field(ge=0, le=10**6)] = 0.0
    """Prompt tokens that had to be worked through."""
    input_hit: Annotated[float, Field(ge=0, le=10**6)] | None = None
    """Prompt tokens from the engine's prefix cache; as `input_miss` when not given."""
    output: Annotated[float, Field(ge=0, le=10**6)] = 0.0
    """Tokens of the answer, reasoning included."""


class Defaults(Section):
    """Sampling parameters for callers who give none."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None


class Advice(Section):
    """What is done to requests for a model because of how it was trained. Chat APIs only."""

    system_prompt: Annotated[Literal["passed", "folded", "off"], BeforeValidator(off)] = "passed"
    """`folded`: moved to the front of the first user message; `off`: left out."""
    boxed: Annotated[Literal["off", "math", "always"], BeforeValidator(off)] = "off"
    """Ask for the final answer in a box: `math` when the question looks like mathematics."""
    force_think: bool = False
    """Begin the answer with `<think>`, for upstreams whose chat template does not."""
    thinking: Literal["always", "switched"] = "always"
    """`switched`: the chat template can turn thinking off (`thinking`, `enable_thinking`)."""
    echoed_reasoning: Literal["accept", "refuse"] = "accept"
    """`reasoning_content` in earlier messages; DeepSeek's API refuses it with 400."""
    language_guard: Annotated[Literal["off", "count", "retry"], BeforeValidator(off)] = "off"
    """Answers in a script that the prompt does not use: count them; ask once more."""
    language_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of an answer's words in such a script from which on it counts as mixed."""


class Repetition(Section):
    """When an answer counts as one that repeats itself for ever, and what is done then.

    Its end is the same tokens again and again: rounds of at most `longest_round`, of which there
    are `rounds` and `tokens` together. Where no token ids are known, four characters are a token.
    """

    action: Annotated[Literal["off", "stop", "retry"], BeforeValidator(off)] = "off"
    """`stop`: a stream is ended there; `retry`: while nothing was sent, it is asked for once
    more with other sampling, else ended."""
    longest_round: Annotated[int, Field(ge=1, le=4096)] = 512
    rounds: Annotated[int, Field(ge=2)] = 4
    tokens: Annotated[int, Field(ge=16)] = 512

    @property
    def loop(self) -> Loop | None:
        """What to look for; None while it is off."""
        if self.action == "off":
            return None
        return Loop(self.longest_round, self.rounds, self.tokens)


class Timeouts(Section):
    """Bounds on one attempt at an upstream."""

    connect_s: Seconds = 5.0
    first_byte_s: Seconds = 600.0
    """To the first piece of a streamed answer, queueing and prefill included."""
    idle_s: Seconds = 120.0
    """Longest silence inside a streamed answer."""
    total_s: Seconds = 5400.0
    """The longest answer: 32k tokens at a loaded 164 ms a token take 88 minutes."""


class HedgeSettings(Section):
    """Which calls are asked a second time, of another upstream, when they are slow."""

    after_s: Seconds
    """Time without an answer; one that nine of ten calls stay below is a good one."""
    max_tokens: Annotated[int, Field(ge=1)] = 256
    """Only calls that are not streamed and want at most this many tokens."""


class ModelCache(Section):
    """Which answers of a model are kept and shared, and for how long."""

    mode: Literal["off", "deterministic", "always"] = "deterministic"
    """`deterministic`: at temperature 0 or with a seed; `always`: sampled ones too."""
    shared: bool = False
    """Tenants share answers, and blocks of the engine's prefix cache."""
    ttl_s: Seconds = 3600.0
    stale_s: Annotated[float, Field(ge=0)] = 600.0
    """How much longer a stale answer is given at once while one is made anew behind it."""


class UpstreamSettings(Section):
    """One model server."""

    url: HttpUrl
    """Base URL; `/v1/chat/completions` is added below it."""
    dialect: Literal["vllm", "openai", "llamacpp", "ollama"] = "vllm"
    opens_think: bool = False
    """Its chat template opens `<think>` in the prompt and it leaves the marks in the text: all up
    to `</think>` is reasoning. Not needed where it splits the reasoning by itself."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    model: str | None = None
    """Name of the model at this upstream, when it differs from the id."""
    key_file: Path | None = None
    """File with the engine key, sent as `Authorization: Bearer`."""

    @property
    def name(self) -> str:
        """Short name for metrics and logs: host, port and path."""
        parts = urlsplit(self.url)
        return parts.netloc + parts.path


class ModelSettings(Section):
    """One model: its names, its upstreams and how it is asked."""

    id: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")]
    aliases: tuple[str, ...] = ()
    context_length: Annotated[int, Field(ge=1)] | None = None
    """Prompt and answer together, in tokens. Learned from the upstream when not given."""
    think_end_token_id: Annotated[int, Field(ge=0)] | None = None
    """Token id of `</think>`. Learned from the upstream when not given."""
    revision: str | None = None
    """Of the weights and adapters. With a new one, answers of the old one are not given again."""
    cache: ModelCache = ModelCache()
    defaults: Defaults = Defaults()
    advice: Advice = Advice()
    repetition: Repetition = Repetition()
    timeouts: Timeouts = Timeouts()
    prices: Prices = Prices()
    """What its tokens cost; nothing when not given."""
    upstreams: Annotated[tuple[UpstreamSettings, ...], Field(min_length=1)]
    """The model servers; with `discovery: registry` those that are asked while no replica is
    ready, such as the URL that wakes a model from zero."""
    discovery: Literal["static", "registry"] = "static"
    """Whether replicas that register themselves in the store are asked directly."""
    discovery_key_file: Path | None = None
    """File with the engine key of these replicas."""
    hedge: HedgeSettings | None = None
    """Ask short calls a second time when they are slow, within the retry budget."""
    batching: Batching | None = None
    """Instead of the general section."""
    canary: CanarySettings | None = None
    """Instead of the general section."""
    fallbacks: tuple[str, ...] = ()
    """Ids of models that may answer, in this order, while this one can't."""
    fallback_policy: Literal["never", "caller", "always"] = "caller"
    """Whether they may: only if the caller says `x-r1-fallback: allow`, or unless he forbids it."""


class DiscoverSettings(Section):
    """An Ollama whose models all become models here, under the names they have there."""

    url: HttpUrl
    key_file: Path | None = None
    """File with a key for it, sent as `Authorization: Bearer`."""
    defaults: Defaults = Defaults()
    timeouts: Timeouts = Timeouts()
