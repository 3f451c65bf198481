"""The numbers and names that rules compare with: defaults, what replaces them, and their places."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

SOURCES = Path(__file__).parents[2] / "deploy" / "observability"
_PLACE = re.compile(r"\$\{(\w+)\}")
_DURATION = re.compile(r"(?P<count>\d+)(?P<unit>ms|s|m|h|d|w)")
# Only where PromQL has a time: a label may look like one (window="1h").
_IN_PROMQL = re.compile(rf"(?P<before>\[|offset ){_DURATION.pattern}")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_LEAST_S = 5.0
"""A window shorter than this holds no two scrapes."""


class UnknownValue(Exception):
    """A value was named that no rule knows."""


def load(name: str) -> Any:
    """The content of a YAML file of deploy/observability/."""
    return yaml.load((SOURCES / name).read_text("utf-8"), Loader=yaml.CSafeLoader)


def defaults() -> dict[str, Any]:
    """All values by name, as defaults.yaml has them."""
    return {name: each["value"] for name, each in load("defaults.yaml").items()}


def replaced(settings: Iterable[str]) -> dict[str, Any]:
    """The defaults with `NAME=VALUE` settings in place of some.

    Raises:
        UnknownValue: there is no such name; the message has those that there are.
    """
    values = defaults()
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in values:
            raise UnknownValue(f"no value is called {name!r}; there are: {', '.join(values)}")
        values[name] = value
    return values


def filled(text: str, values: Mapping[str, Any]) -> str:
    """`text` with each ${name} replaced.

    Raises:
        UnknownValue: a place has a name that is not among the values.
    """

    def value(place: re.Match[str]) -> str:
        if place[1] not in values:
            raise UnknownValue(f"{place[0]} stands in a rule, but defaults.yaml does not have it")
        return str(values[place[1]])

    return _PLACE.sub(value, text)


def strings(tree: Any, change: Callable[[str], str]) -> Any:
    """The same tree of mappings and lists with every string in it changed."""
    if isinstance(tree, str):
        return change(tree)
    if isinstance(tree, list):
        return [strings(each, change) for each in tree]
    if isinstance(tree, dict):
        return {key: strings(each, change) for key, each in tree.items()}
    return tree


def shortened(expr: str, times: float) -> str:
    """PromQL with the windows and offsets that many times shorter.

    Fault drills use it, so that an alert that waits for minutes can be seen to fire in seconds.
    """
    return _IN_PROMQL.sub(lambda found: found["before"] + _shorter(found, times), expr)


def shortened_wait(duration: str, times: float) -> str:
    """The same of a duration that stands alone."""
    return _DURATION.sub(lambda found: _shorter(found, times), duration)


def _shorter(found: re.Match[str], times: float) -> str:
    seconds = int(found["count"]) * _SECONDS[found["unit"]] / times
    return f"{max(_LEAST_S, seconds):.0f}s"
