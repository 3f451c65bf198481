"""Rules for one field of a request: what it may hold, and the error that says so. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.errors import InvalidRequest

Rule = Callable[[str, Any], None]
"""Raises InvalidRequest if the value (never None) is not what the named field may hold."""


def wrong(field: str, must_be: str) -> InvalidRequest:
    """The error for a field of the wrong kind."""
    return InvalidRequest(f"'{field}' must be {must_be}.", param=field)


def whole(low: int, high: int) -> Rule:
    """A whole number in [low, high]."""

    def rule(field: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(field, "a whole number")
        _between(field, value, low, high)

    return rule


def number(low: float, high: float) -> Rule:
    """A number in [low, high]."""

    def rule(field: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(field, "a number")
        _between(field, value, low, high)

    return rule


def text(most: int) -> Rule:
    """A text of at most `most` characters."""

    def rule(field: str, value: Any) -> None:
        if not isinstance(value, str):
            raise wrong(field, "a text")
        if len(value) > most:
            raise InvalidRequest(
                f"'{field}' has {len(value)} characters; at most {most} are allowed.", param=field
            )

    return rule


def flag(field: str, value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(field, "true or false")


def record(field: str, value: Any) -> None:
    """An object."""
    if not isinstance(value, dict):
        raise wrong(field, "an object")


def one_of(*allowed: str) -> Rule:
    """One of some texts."""

    def rule(field: str, value: Any) -> None:
        if value not in allowed:
            raise wrong(field, "one of " + ", ".join(f"'{each}'" for each in allowed))

    return rule


def entries(field: str, value: Any, most: int, bound: str, *, empty: bool = False) -> list[Any]:
    """`value` if it is a list of at most `most`, which `bounds.<bound>` sets."""
    if not isinstance(value, list) or not (value or empty):
        raise wrong(field, "a list" if empty else "a list with at least one entry")
    at_most(field, len(value), most, bound)
    return value


def at_most(field: str, count: int, most: int, bound: str) -> None:
    """Refuses a count above the one that `bounds.<bound>` sets."""
    if count > most:
        raise InvalidRequest(
            f"'{field}' has {count} entries; at most {most} are allowed here (bounds.{bound}).",
            param=field,
        )


def check(body: dict[str, Any], rules: dict[str, Rule]) -> None:
    """Apply rules to the fields that are there and not null."""
    for field, value in body.items():
        rule = rules.get(field)
        if rule is not None and value is not None:
            rule(field, value)


def _between(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidRequest(
            f"'{field}' must lie between {low} and {high}; it is {value}.", param=field
        )
