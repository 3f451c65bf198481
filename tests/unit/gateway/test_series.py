"""How many series a gateway can have, whatever its callers do; docs/api.md states it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import get_args

from gateway import errors
from gateway.auth.terms import Priority
from gateway.canary.policy import Finding
from gateway.errors import GatewayError, UpstreamError
from gateway.limits.ledger import TENANTS_NAMED
from gateway.protocol.request import Api
from gateway.protocol.usage import Usage
from gateway.telemetry.exposition import render
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import FAMILIES, Metrics
from gateway.telemetry.sheet import Sheet, make_files, read
from gateway.telemetry.tenants import at_most

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
TREE = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, GatewayError)
]
CODES = {each.code for each in TREE}
# 200, a caller who left, and a model server's own 4xx that are handed on.
STATUSES = {each.status for each in TREE} | {200, 499, 409, 415, 451}
OUTCOMES = {each.outcome for each in TREE if issubclass(each, UpstreamError)} | {"ok", "cancelled"}
CACHE = ("hit", "miss", "coalesced", "stale", "bypass")
BUCKETS = (0, 1, 5000, 10_000, 100_000)


def everything(metrics: Metrics, model: str, *, upstreams: int, tenants: int) -> None:
    """All that can ever happen to a model."""
    for api in get_args(Api):
        for status in STATUSES:
            metrics.request_done(api, model, status, 1.0)
    for result in CACHE:
        metrics.cache_asked(model, result)
        for uncached in BUCKETS:
            metrics.first_token(model, result, uncached, 1.0)
    metrics.first_content(model, 1.0)
    metrics.token_gaps(model).observe(0.01)
    metrics.usage(model, Usage())
    with metrics.working(model):
        metrics.batch(model, window=1.0, size=1, rate=1.0)
    for priority in get_args(Priority):
        metrics.queueing(model, priority)
        metrics.waited(model, priority, 1.0)
    metrics.retry_budget(model, 1.0)
    for action in ("counted", "retried", "stopped", "told"):
        metrics.language_mixed(model, action)
        metrics.repeated(model, action)
    for outcome in ("ok", "failed", "refused"):
        metrics.resumed(model, outcome)
    for reason in (*CODES, "queue_wait", "queue_deadline", "queue_full", "done", "disconnect"):
        metrics.rejected(model, reason)
        metrics.stream_ended(model, reason)
    metrics.disconnected(model)
    for number in range(tenants):
        metrics.cost(model, f"tenant-{number}", 1.0)
    for number in range(upstreams):
        name = f"replica-{number}"
        metrics.upstream_up(model, name, True)
        metrics.breaker(model, name, 0)
        metrics.canary_stands(model, name, drift=0.1, ejected=False)
        for outcome in OUTCOMES:
            metrics.attempt(model, name, outcome)
        for finding in (*get_args(Finding), "failed"):
            metrics.canary_asked(model, name, finding)


def series(models: int, upstreams: int, tenants: int) -> Counter[str]:
    """Lines of a page, by metric, after everything has happened in two workers."""
    files = [make_files(), make_files()]
    for each in files:
        metrics = Metrics(Meter(Sheet(each)))
        for number in range(models):
            everything(metrics, f"m{number}", upstreams=upstreams, tenants=tenants)
    fold = at_most(TENANTS_NAMED)
    text = render(FAMILIES, [read(each) for each in files], fold=fold)
    return Counter(
        re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")
    )


def stated(pattern: str) -> int:
    found = re.search(pattern, PAGE)
    assert found is not None, pattern
    return int(found[1].replace(",", ""))


def test_a_model_and_a_replica_have_as_many_as_the_page_says() -> None:
    none, one, two = (series(number, 3, 60).total() for number in (0, 1, 2))
    replica = (series(1, 8, 60).total() - one) // 5
    model = two - one
    assert one - none == model
    assert 0.8 < (model - 3 * replica) / stated(r"at most ([\d,]+) series a model") <= 1
    assert 0.8 < replica / stated(r"and (\d+) for each of its replicas") <= 1


def test_callers_can_not_make_more_of_them() -> None:
    few, many = series(2, 2, TENANTS_NAMED), series(2, 2, 1000)
    # Who is not among the largest tenants is `other`, of each model.
    assert many - few == Counter({"r1_cost_usd_total": 2})
