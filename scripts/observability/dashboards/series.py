"""PromQL in the few forms that panels need, and which series a dashboard's choices select.

Rates are over `$__rate_interval`, which Grafana keeps at four scrapes or more.
"""

from __future__ import annotations

HERE = 'namespace=~"$namespace"'
GATEWAY = f'{HERE},model=~"$model"'
"""The gateway's series of the chosen models."""
GATEWAY_ONE = f'{GATEWAY},instance=~"$instance"'
"""The same of the chosen gateways alone."""
MODEL = GATEWAY
"""Recorded series (deploy/observability/vocabulary.yaml), which all call the model `model`."""
MODEL_ONE = GATEWAY_ONE
ENGINE = f'{HERE},model_name=~"$model"'
"""vLLM's own series, which call the model `model_name`."""
ENGINE_ONE = f'{ENGINE},instance=~"$instance"'
SERVE = f'{HERE},application=~"$model"'
"""Ray Serve's series: an application is a model."""
NODE_ONE = f'{HERE},instance=~"$instance"'
"""Series of a node or of a process, which have no model."""

NAMESPACES = "r1_inflight_requests"
"""The series that tells in which namespaces there is an r1."""

GENERATED = 'cache!~"hit|stale"'
"""Answers that a caller waited for."""
SHORT = f'prompt_bucket="2k",{GENERATED}'
"""Those to prompts of at most 2,048 uncached tokens, which the threshold of latency is for."""


def picked(metric: str, scope: str, where: str = "") -> str:
    """Return the selector of a metric in a scope; `where` has more matchers."""
    return f"{metric}{{{scope}{',' if where else ''}{where}}}"


def total(metric: str, scope: str, *by: str, where: str = "") -> str:
    """Return the sum of a gauge, by labels."""
    return _over("sum", picked(metric, scope, where), by)


def highest(metric: str, scope: str, *by: str, where: str = "") -> str:
    """Return the largest value of a gauge, by labels."""
    return _over("max", picked(metric, scope, where), by)


def lowest(metric: str, scope: str, *by: str, where: str = "") -> str:
    """Return the smallest value of a gauge, by labels."""
    return _over("min", picked(metric, scope, where), by)


def average(metric: str, scope: str, *by: str, where: str = "") -> str:
    """Return the mean of a gauge, by labels."""
    return _over("avg", picked(metric, scope, where), by)


def recorded(series: str, scope: str, quantile: str = "") -> str:
    """Return a recorded series as it is; `quantile` is 0.5, 0.95 or 0.99 where it has some."""
    return picked(series, scope, f'quantile="{quantile}"' if quantile else "")


def rate(metric: str, scope: str, *by: str, where: str = "") -> str:
    """Return a counter's growth a second, by labels."""
    return _over("sum", f"rate({picked(metric, scope, where)}[$__rate_interval])", by)


def growth(metric: str, scope: str, *by: str, where: str = "") -> str:
    """Return how much a counter grew in the time that the dashboard shows, by labels."""
    return _over("sum", f"increase({picked(metric, scope, where)}[$__range])", by)


def quantile(share: float, metric: str, scope: str, *by: str, where: str = "") -> str:
    """Return a histogram's quantile (`share` 0 to 1) by labels; `metric` is without `_bucket`."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', scope, 'le', *by, where=where)})"


def mean(metric: str, scope: str, *by: str, where: str = "") -> str:
    """Return the mean of what a histogram counted, by labels."""
    parts = (rate(f"{metric}_{end}", scope, *by, where=where) for end in ("sum", "count"))
    return " / ".join(parts)


def share(part: str, whole: str) -> str:
    """Return `part` / `whole`: 0 where there is no part yet, nothing where there is no whole."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def some(expr: str) -> str:
    """Return the parts of a sum that are more than nothing: a legend names no fault of none."""
    return f"{expr} > 0"


def or_zero(expr: str) -> str:
    """Return the value of a sum without labels: 0 where nothing was counted yet."""
    return f"{expr} or vector(0)"


def _over(operator: str, what: str, by: tuple[str, ...]) -> str:
    return f"{operator} by ({', '.join(by)}) ({what})" if by else f"{operator}({what})"
