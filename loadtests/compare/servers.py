"""The servers that are compared: how each is started, and what it can't do."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loadtests.gateways import peers, targets
from loadtests.gateways.client import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from loadtests.gateways.targets import Bench, Target

DIRECT, R1 = "direct", "r1"
# The upstream takes all at once, which r1 has to be told: the others have no window at all.
ROOMY = {"capacity": 4096}


@dataclass(frozen=True)
class Setup:
    """What stands behind the servers, and what they are to do."""

    upstreams: tuple[tuple[str, ...], ...] = ((),)
    """Of each, the words that `loadtests.gateways.mock` gets."""
    doors: tuple[bool, ...] = (True,)
    """True: keys are checked and limits counted; both: each server runs twice."""
    cache: bool = False


@dataclass(frozen=True)
class Place:
    """Where a server is to run."""

    bench: Bench
    upstreams: tuple[int, ...]
    venv: Path
    door: bool
    cache: bool


@dataclass(frozen=True)
class Running:
    """A server that runs. The client itself takes several addresses in turn."""

    name: str
    addresses: tuple[Address, ...]
    target: Target | None = None


@dataclass(frozen=True)
class Server:
    """One of those compared."""

    name: str
    version: str
    about: str
    start: Callable[[Place], AbstractContextManager[Target]] | None = None
    """None: there is nothing between the client and the upstreams."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """By `cache` and `door`."""

    def lacking(self, door: bool, cache: bool) -> str | None:
        """Why it can't take part."""
        return (self.lacks.get("cache") if cache else None) or (
            self.lacks.get("door") if door else None
        )


def _r1(place: Place) -> AbstractContextManager[Target]:
    redis = place.bench.redis()
    return targets.r1(place.bench, place.upstreams, redis, batching=ROOMY, limited=place.door)


def _vllm_router(place: Place) -> AbstractContextManager[Target]:
    return peers.vllm_router(place.bench, place.upstreams, place.venv)


def _sglang_router(place: Place) -> AbstractContextManager[Target]:
    return peers.sglang_router(place.bench, place.upstreams, place.venv, auth=place.door)


def _litellm(place: Place) -> AbstractContextManager[Target]:
    redis = place.bench.redis() if place.cache else None
    return peers.litellm(
        place.bench, place.upstreams, place.venv, auth=place.door, cache_redis=redis
    )


_NO_CACHE = "it has no cache of answers"
SERVERS = (
    Server(
        DIRECT,
        "",
        "no gateway: the client's connections are spread over the upstreams, and nothing is "
        "asked twice",
    ),
    Server(
        R1,
        "this checkout",
        "one worker; Redis on the load's core; each key has limits of requests and of tokens, "
        "which are counted and never reached; metrics, and all retries, breakers, the batch window "
        f"and the cache as by default, but that an upstream takes {ROOMY['capacity']:,} calls at "
        "once. Open: a key without limits, for keys are always checked",
        _r1,
    ),
    Server(
        "vllm-router",
        peers.VERSIONS["vllm-router"],
        "round_robin, the cheapest policy, else as by default (5 retries, circuit breaker); its "
        "--api-key is for the upstreams: callers' keys are not checked",
        _vllm_router,
        {"cache": _NO_CACHE, "door": "it checks no keys; the figures are in the row of the open"},
    ),
    Server(
        "sglang-router",
        peers.VERSIONS["sglang-router"],
        "round_robin, the cheapest policy, else as by default (5 retries, circuit breaker); one "
        "key for all callers, without limits",
        _sglang_router,
        {"cache": _NO_CACHE},
    ),
    Server(
        "litellm",
        peers.VERSIONS["litellm"],
        "the proxy with one worker, its master key and 2 retries, logging errors only, telemetry "
        "off; keys with limits would need Postgres; its cache is the one in Redis, on only where "
        "a cache is measured",
        _litellm,
    ),
)


@contextlib.contextmanager
def started(
    servers: Sequence[Server], setup: Setup, bench: Bench, venv: Path, reasons: dict[str, str]
) -> Iterator[tuple[list[Running], tuple[int, ...]]]:
    """All that can be started, and the upstreams' ports; who can't is told in `reasons`."""
    upstreams = tuple(bench.mock(*words) for words in setup.upstreams)
    running = []
    with contextlib.ExitStack() as stack:
        for server in servers:
            if server.start is None:
                direct = tuple(Address(server.name, port, targets.MODEL) for port in upstreams)
                running.append(Running(server.name, direct))
                continue
            for door in setup.doors:
                name = server.name if door else f"{server.name}, open"
                # Where the doors are not what is compared, a server without one takes part.
                why = server.lacking(door and len(setup.doors) > 1, setup.cache)
                if why is not None:
                    reasons[name] = why
                    continue
                try:
                    place = Place(bench, upstreams, venv, door, setup.cache)
                    target = stack.enter_context(server.start(place))
                except targets.CannotStart as error:
                    reasons[name] = str(error)
                    continue
                address = replace(target.address, name=name)
                running.append(Running(name, (address,), target))
        yield running, upstreams
