"""The figures of a frame, made of two readings. Pure."""

from dataclasses import dataclass, field

from r1.panel.page import Page, buckets, grown
from r1.panel.quantile import quantile

_SHARED = ("hit", "coalesced", "stale")
_TTFT = "r1_time_to_first_token_seconds"
_ITL = "r1_inter_token_latency_seconds"


@dataclass(frozen=True)
class ModelFigures:
    """One model: counts are now, rates a second, times in seconds, shares from 0 to 1.

    None: nothing was seen in between from which it could be told.
    """

    id: str
    up: int
    replicas: int
    ejected: int
    running: float
    waiting: float
    requests: float
    failures: float
    tokens: float
    ttft: float | None
    ttft_p95: float | None
    short_ttft_p95: float | None
    itl: float | None
    itl_p95: float | None
    cache_hits: float | None
    prefix_hits: float | None
    kv_used: float | None


@dataclass(frozen=True)
class Gpu:
    """One GPU: shares from 0 to 1."""

    name: str
    busy: float | None
    memory: float | None


@dataclass(frozen=True)
class Frame:
    """Everything that is shown. `memory` of each node, by its name."""

    models: list[ModelFigures] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    gpus: list[Gpu] = field(default_factory=list)
    store_degraded: bool = False


def figures(before: Page, after: Page) -> Frame:
    """What two readings tell; `before` is the earlier one."""
    names = after.values("r1_upstream_up", "model") | after.values("r1_requests_total", "model")
    models = [_model(before, after, each) for each in sorted(names - {"unknown"})]
    nodes = after.largest("r1_memory_used_ratio", "instance")
    return Frame(
        models,
        {name or "this node": share for name, share in sorted(nodes.items())},
        _gpus(after),
        any(each.value > 0 for each in after.of("r1_store_degraded")),
    )


def _model(before: Page, after: Page, model: str) -> ModelFigures:
    seconds = max(after.at - before.at, 1e-9)

    def rate(name: str, **labels: str) -> float:
        return grown(before, after, name, model=model, **labels) / seconds

    def at(name: str, q: float, **labels: str) -> float | None:
        return quantile(buckets(before, after, name, model=model, **labels), q)

    up = after.largest("r1_upstream_up", "upstream", model=model)
    waiting = after.total("r1_queue_depth", model=model)
    codes = {each.labels.get("code", "") for each in after.of("r1_requests_total", model=model)}
    # Tokens are counted with their answers' ends, gaps between streamed ones as they come.
    tokens = max(rate("r1_tokens_total", kind="completion"), rate(f"{_ITL}_count"))
    kv = after.largest("vllm:kv_cache_usage_perc", "instance", model=model)
    return ModelFigures(
        id=model,
        up=sum(value > 0 for value in up.values()),
        replicas=len(up),
        ejected=sum(
            value > 0
            for value in after.largest("r1_canary_ejected", "upstream", model=model).values()
        ),
        running=max(0.0, after.total("r1_inflight_requests", model=model) - waiting),
        waiting=waiting,
        requests=rate("r1_requests_total"),
        failures=sum(rate("r1_requests_total", code=each) for each in codes if each >= "500"),
        tokens=tokens,
        ttft=at(_TTFT, 0.5),
        ttft_p95=at(_TTFT, 0.95),
        short_ttft_p95=at(_TTFT, 0.95, prompt_bucket="2k"),
        itl=at(_ITL, 0.5),
        itl_p95=at(_ITL, 0.95),
        cache_hits=_share(
            sum(rate("r1_cache_requests_total", result=each) for each in _SHARED),
            rate("r1_cache_requests_total"),
        ),
        prefix_hits=_share(
            rate("r1_tokens_total", kind="cached"), rate("r1_tokens_total", kind="prompt")
        ),
        kv_used=max(kv.values(), default=None),
    )


def _gpus(page: Page) -> list[Gpu]:
    places: dict[tuple[str, str], None] = {}
    values: dict[tuple[str, tuple[str, str]], float] = {}
    for name in ("r1_gpu_utilization_ratio", "r1_gpu_memory_used_ratio"):
        for each in page.of(name):
            place = (each.labels.get("instance", ""), each.labels.get("gpu", ""))
            places[place] = None
            values[name, place] = each.value
    return [
        Gpu(
            " ".join(filter(None, place)),
            values.get(("r1_gpu_utilization_ratio", place)),
            values.get(("r1_gpu_memory_used_ratio", place)),
        )
        for place in sorted(places)
    ]


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
