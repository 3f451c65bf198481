"""Values as Grafana writes them, for the units that the dashboards use."""

from __future__ import annotations

import math

_PREFIXES = ((1e9, "B"), (1e6, "M"), (1e3, "k"))
_TIMES = ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_AFTER = {"reqps": " req/s", "ops": " ops/s", "celsius": " °C", "watt": " W"}


def written(value: float, unit: str) -> str:
    """Return a value with its unit, in three digits."""
    if math.isnan(value):
        return "no data"
    if unit == "percentunit":
        return f"{_digits(100 * value)} %"
    if unit == "percent":
        return f"{_digits(value)} %"
    if unit == "currencyUSD":
        return f"${_short(value)}"
    if unit == "s":
        return _time(value)
    return _short(value) + _AFTER.get(unit, "")


def _time(value: float) -> str:
    for size, name in _TIMES:
        if abs(value) >= size:
            return f"{_digits(value / size)} {name}"
    return "0 s"


def _short(value: float) -> str:
    for size, name in _PREFIXES:
        if abs(value) >= size:
            return f"{_digits(value / size)}{name}"
    return _digits(value)


def _digits(value: float) -> str:
    return f"{value:.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"
