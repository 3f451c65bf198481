"""What may be kept, what may be given again, and for how long. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["off", "deterministic", "always"]


@dataclass(frozen=True, slots=True)
class Wish:
    """A request's `Cache-Control`."""

    store: bool = True
    """False for `no-store`: nothing is looked up, kept or shared."""
    max_age_s: float | None = None
    """Only a kept answer younger than that will do; 0 (`no-cache`): none."""
    only_kept: bool = False
    """`only-if-cached`: a kept answer or none."""


class Use(enum.Enum):
    """What a kept answer is good for."""

    FRESH = "fresh"
    STALE = "stale"
    """To be given, and made anew behind it."""
    NONE = "none"


def read_wish(header: str | None) -> Wish:
    """The wish in a `Cache-Control` header; what it says beyond ours is ignored."""
    if not header:
        return Wish()
    store, only_kept = True, False
    max_age_s: float | None = None
    for part in header.lower().split(","):
        name, _, value = part.strip().partition("=")
        if name == "no-store":
            store = False
        elif name == "no-cache":
            max_age_s = 0.0
        elif name == "only-if-cached":
            only_kept = True
        elif name == "max-age" and value.strip('"').isdecimal():
            seconds = float(value.strip('"'))
            max_age_s = seconds if max_age_s is None else min(max_age_s, seconds)
    return Wish(store, max_age_s, only_kept)


def cacheable(mode: Mode, body: dict[str, Any], default_temperature: float | None) -> bool:
    """Whether answers to a body may be kept and shared.

    `deterministic`: greedy, or with a seed. Without a temperature the model's default counts, and
    without that the engine's own, which samples.
    """
    if mode != "deterministic":
        return mode == "always"
    if body.get("seed") is not None:
        return True
    temperature = body.get("temperature")
    return (default_temperature if temperature is None else temperature) == 0


def use(stored: float, fresh_until: float, gone_at: float, now: float, wish: Wish) -> Use:
    """What an answer that was kept at `stored` is good for; all in seconds since 1970."""
    if now >= gone_at:
        return Use.NONE
    if wish.max_age_s is not None and now - stored >= wish.max_age_s:
        return Use.NONE
    return Use.FRESH if now < fresh_until else Use.STALE


def lifetime_s(ttl_s: float, jitter: float, draw: float) -> float:
    """`ttl_s`, shortened by up to the share `jitter`, so that not all expire at once.

    `draw` is uniform in [0, 1).
    """
    return ttl_s * (1.0 - jitter * draw)
