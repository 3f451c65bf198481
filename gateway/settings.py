"""The gateway's configuration as types; `gateway.config` reads it from a file.

Times end in `_s` and are in seconds, sizes end in `_bytes` and are in bytes. Relative file
names are relative to the configuration file.
"""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.batching_settings import Batching
from gateway.canary_settings import CanarySettings
from gateway.model_settings import DiscoverSettings, ModelSettings
from gateway.settings_types import HttpUrl, Port, RedisUrl, Seconds, Section


class Listen(Section):
    """The API port and what holds for each request on it."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, Field(ge=1, le=256)] = 2
    max_body_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    max_json_depth: Annotated[int, Field(ge=4, le=512)] = 64
    max_connections: Annotated[int, Field(ge=1)] = 16384
    """Connections that one worker has at once; more wait in the kernel."""
    header_timeout_s: Seconds = 30.0
    """Time for a request's head to come."""
    idle_timeout_s: Seconds = 75.0
    """How long a connection stays open for the next request. Longer than callers and load balancers
    keep one (Nginx and AWS 60 s, aiohttp 15 s): who closes first must not be the gateway, since a
    request that is on its way at that moment is lost."""
    body_timeout_s: Seconds = 60.0
    """Time for a request's body to come."""
    write_timeout_s: Seconds = 120.0
    """How long a caller may take nothing of its answer before its connection is cut (Linux)."""
    send_buffer_bytes: Annotated[int, Field(ge=16384)] = 131072
    """Kernel buffer of one connection: how far an answer may run ahead of a slow reader."""
    sse_keepalive_s: Seconds = 10.0
    """Silence on a stream after which `: keep-alive` is sent."""
    body_keepalive_s: Seconds = 30.0
    """Wait of a non-streaming call after which the headers and blank lines are sent."""
    drain_delay_s: Annotated[float, Field(ge=0)] = 2.0
    """After SIGTERM: how long connections are still accepted while readiness already fails."""
    drain_idle_s: Annotated[float, Field(ge=0)] | None = None
    """After that, or after a reload: how long connections that are open stay so for the next
    request, whose answer then says that they end; `idle_timeout_s`, when not given."""
    drain_timeout_s: Seconds | None = None
    """After that: how long running answers may take to finish; as long as the longest that a model
    may give, when not given."""


class Admin(Section):
    """The port for operators: health, metrics, keys."""

    host: str = "127.0.0.1"
    port: Port = 8081
    key_file: Path | None = None
    """File with the admin key. Without it `/admin/…` is closed."""


class StoreSettings(Section):
    """Redis. `url` holds keys, limits, budgets and usage, `cache_url` the answer cache.

    Without a `cache_url` both share one Redis. Answers may be evicted at any time; keys may not.
    `gateway.store.address` says what the URLs may be.
    """

    url: RedisUrl = "redis://127.0.0.1:6380/0"
    url_file: Path | None = None
    """File with `url`, for a password that should stand nowhere else."""
    cache_url: RedisUrl | None = None
    timeout_s: Seconds = 0.5


class Auth(Section):
    """How keys are checked."""

    pepper_file: Path
    """File with the secret that keys are hashed with, at least 16 characters."""
    cache_ttl_s: Seconds = 30.0
    """How long a checked key is trusted without asking the store; revocation tells us sooner."""
    stale_s: Annotated[float, Field(ge=0)] = 600.0
    """How long a known key keeps working while the store is down."""
    cache_size: Annotated[int, Field(ge=1)] = 10000
    bootstrap_file: Path | None = None
    """File that declares keys (YAML); they are made at the start if they aren't there."""


class LimitSettings(Section):
    """Limits and budgets of keys, and the usage that is kept."""

    lease_s: Annotated[float, Field(ge=0.5, le=3600)] = 30.0
    """How long a dead worker's requests still hold their places; running ones renew them."""
    usage_days: Annotated[int, Field(ge=1, le=3660)] = 400
    """How long usage per key, model and day is kept."""
    expiring_days: Annotated[float, Field(ge=0)] = 7.0
    """A key that ends within so many days counts as expiring."""
    near_budget_ratio: Annotated[float, Field(gt=0, le=1)] = 0.8
    """A key that has spent this share of a budget counts as near it."""
    watch_interval_s: Seconds = 60.0
    """How often expiring keys and those near their budget are counted."""


class Bounds(Section):
    """How many and how long the parts of a request may be; one that has more gets 400."""

    messages: Annotated[int, Field(ge=1)] = 4096
    """Messages of a chat, or items of a response's input."""
    parts: Annotated[int, Field(ge=1)] = 1024
    """Content parts of one message."""
    tools: Annotated[int, Field(ge=1)] = 128
    choices: Annotated[int, Field(ge=1)] = 128
    """Answers to one request: `n`, times the prompts of a completion."""
    stops: Annotated[int, Field(ge=1)] = 4
    """Stop texts. vLLM refuses more than 4 unless VLLM_MAX_STOP_STRINGS says otherwise."""
    stop_chars: Annotated[int, Field(ge=1)] = 256
    """Characters of one stop text."""
    logit_bias: Annotated[int, Field(ge=1)] = 1024
    """Entries of `logit_bias` and of lists of tokens and words."""
    logprobs: Annotated[int, Field(ge=0)] = 20
    """Alternatives of one token, in `logprobs`, `top_logprobs` and `prompt_logprobs`."""
    schema_bytes: Annotated[int, Field(ge=1)] = 65536
    """Bytes of a schema or grammar that the answer must keep to, or of one tool."""
    pattern_states: Annotated[int, Field(ge=1)] = 10000
    """Characters of a regular expression in these, with its repetitions written out."""
    remote_urls: bool = False
    """Whether a request may name URLs and tool servers that its model server then asks. If not,
    only `data:` URLs are let through."""


class RetrySettings(Section):
    """Attempts at upstreams after one that failed before the first byte of an answer."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """For one request, the first included."""
    base_s: Seconds = 0.1
    """Longest wait before the second attempt; it doubles with each further one."""
    longest_wait_s: Seconds = 2.0
    """A model server that asks for a longer pause is left to the caller's patience."""
    resumes: Annotated[int, Field(ge=0, le=10)] = 2
    """How often one streamed answer is continued elsewhere when its model server is lost."""
    budget_ratio: Annotated[float, Field(ge=0, le=1)] = 0.08
    """Share of a model's requests that may be repeated, over all workers and replicas."""
    budget_reserve: Annotated[float, Field(ge=0)] = 5.0
    """Retries that a model may have before it earned any."""
    budget_most: Annotated[float, Field(ge=1)] = 20.0
    """Retries that can be saved up."""


class CacheSettings(Section):
    """The answer cache, for all models."""

    lease_s: Seconds = 3.0
    """After a worker died: how long until another one takes over its shared generation."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share by which an answer's time may be shortened, so that not all expire at once."""
    max_answer_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    """Longer answers are not kept."""
    compress_over_bytes: Annotated[int, Field(ge=0)] = 1024
    """Longer ones are compressed with zstd."""
    idempotency_s: Seconds = 3600.0
    """How long an `Idempotency-Key` stands for its answer."""


class PoolSettings(Section):
    """How requests are spread over a model's upstreams, and when one of them is left alone.

    Each worker goes by its own requests and their ends; what is said of requests in flight is
    for one worker.
    """

    affinity: bool = True
    """Keep a conversation at one upstream, whose prefix cache knows it."""
    load_factor: Annotated[float, Field(ge=1)] = 1.25
    """An upstream with this many times its share of all requests in flight is overloaded: what
    belongs there goes to the conversation's next one."""
    free_requests: Annotated[int, Field(ge=1)] = 4
    """Requests in flight at one upstream that never count as overload."""
    slow_start_s: Annotated[float, Field(ge=0)] = 30.0
    """Time in which a new or recovered upstream comes up to its share."""
    failures: Annotated[int, Field(ge=1)] = 3
    """Failures in a row after which an upstream is left alone for a while."""
    failure_gap: Annotated[float, Field(gt=0, le=1)] = 0.3
    """So is one whose share of failures is so much above the median of the others."""
    open_s: Seconds = 1.0
    """First such pause; it doubles each time the attempt after it fails, with jitter."""
    longest_open_s: Seconds = 30.0
    frozen_s: Seconds = 15.0
    """An upstream that fails its looks and is silent for so long in an answer is taken for lost,
    if there is another one: the answer is made, or goes on, there."""
    busy_s: Annotated[float, Field(ge=0)] = 1.0
    """How long a busy upstream is avoided if it doesn't say how long it wants to be."""
    max_answer_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024 * 1024
    """A whole answer that is longer is taken for a fault of the upstream."""
    registry_interval_s: Seconds = 1.0
    """How often the registry of replicas is read."""
    registry_keep_s: Annotated[float, Field(ge=0)] = 20.0
    """How long replicas are kept after the registry was found empty: a Redis that lost it hears of
    them when they renew their entries."""


class ReloadSettings(Section):
    """When the configuration is read again; on SIGHUP it is in any case."""

    watch: bool = True
    """Do so when the file, or one that it names, has changed."""
    interval_s: Annotated[float, Field(ge=0.1)] = 1.0
    """How often the files are looked at."""


class Telemetry(Section):
    """Logs, metrics and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_prompts: bool = False
    """Write each request's body to the log, for debugging; a warning at the start says so."""
    probe_interval_s: Seconds = 5.0
    """How often each upstream's health is looked at."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the traces that begin here which are recorded, none without `otlp_endpoint`; those
    that come with a request go by its caller's flag."""
    otlp_endpoint: HttpUrl | None = None
    """Base URL of an OTLP/HTTP collector that gets spans, such as http://127.0.0.1:4318. Needs the
    extra `otel`."""
    service_name: Annotated[str, Field(min_length=1)] = "r1-gateway"
    """The gateway's name in traces."""


class Settings(Section):
    """The whole configuration."""

    listen: Listen = Listen()
    bounds: Bounds = Bounds()
    admin: Admin = Admin()
    store: StoreSettings = StoreSettings()
    auth: Auth
    models: Annotated[tuple[ModelSettings, ...], Field(min_length=1)]
    discover: tuple[DiscoverSettings, ...] = ()
    limits: LimitSettings = LimitSettings()
    retry: RetrySettings = RetrySettings()
    cache: CacheSettings = CacheSettings()
    pool: PoolSettings = PoolSettings()
    batching: Batching = Batching()
    canary: CanarySettings = CanarySettings()
    telemetry: Telemetry = Telemetry()
    reload: ReloadSettings = ReloadSettings()

    @property
    def drain_idle_s(self) -> float:
        """How long idle connections of a worker that leaves stay open; no longer than `drain_s`."""
        given = self.listen.drain_idle_s
        return min(self.listen.idle_timeout_s if given is None else given, self.drain_s)

    @property
    def drain_s(self) -> float:
        """How long a worker that leaves waits for running answers."""
        given = self.listen.drain_timeout_s
        return self.longest_answer()[1] if given is None else given

    def longest_answer(self) -> tuple[str, float]:
        """The field that allows the longest answer, and how many seconds that is."""
        bounds = {
            f"models.{index}.timeouts.total_s": each.timeouts.total_s
            for index, each in enumerate(self.models)
        } | {
            f"discover.{index}.timeouts.total_s": each.timeouts.total_s
            for index, each in enumerate(self.discover)
        }
        return max(bounds.items(), key=itemgetter(1))

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        owner: dict[str, str] = {}
        for model in self.models:
            for name in (model.id, *model.aliases):
                if name in owner:
                    raise ValueError(
                        f"models: {name!r} names both {owner[name]!r} and {model.id!r}; "
                        "each id and alias may be used once"
                    )
                owner[name] = model.id
        self._check_fallbacks()
        if self.listen.port == self.admin.port and self.listen.host == self.admin.host:
            raise ValueError(
                f"admin.port: {self.admin.port} is the API's port too; give it a port of its own"
            )
        return self

    def _check_fallbacks(self) -> None:
        """Raise ValueError for a fallback that does not exist, or that leads back."""
        chains = {model.id: model.fallbacks for model in self.models}
        for index, model in enumerate(self.models):
            field = f"models.{index}.fallbacks"
            for name in model.fallbacks:
                if name not in chains:
                    raise ValueError(
                        f"{field}: {name!r} is no model's id; give one of {', '.join(chains)}"
                    )
            reached: set[str] = set()
            ahead = [*model.fallbacks]
            while ahead:
                name = ahead.pop()
                if name == model.id:
                    raise ValueError(
                        f"{field}: they lead back to {name!r}, so that one overload would become "
                        "two; remove one of the steps"
                    )
                if name not in reached:
                    reached.add(name)
                    ahead.extend(chains.get(name, ()))
