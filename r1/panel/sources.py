"""Where metrics are read: ports of a gateway and of nodes, or a Prometheus."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Protocol

from r1.panel.page import Page, Sample, parse

_TIMEOUT_S = 5.0
_SERIES = '{__name__=~"r1_.+|vllm:kv_cache_usage_perc"}'
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoMetrics(RuntimeError):
    """Nobody gives metrics there; the message says who was asked."""


class Source(Protocol):
    """Gives a reading of all metrics."""

    def read(self) -> Page:
        """As they are now. Raises NoMetrics."""


class Ports:
    """A gateway's admin port, and the telemetry ports of nodes, which may be away."""

    def __init__(
        self, admin: str, nodes: Sequence[str] = (), now: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: URLs without a path."""
        self._admin = admin
        self._nodes = nodes
        self._now = now

    def read(self) -> Page:
        """As they are now. Raises NoMetrics."""
        at = self._now()
        samples = _samples(self._admin)
        if not any(each.name.startswith("r1_") for each in samples):
            raise NoMetrics(f"{self._admin}/metrics is not a gateway's: give its admin port")
        for url in self._nodes:
            try:
                samples += [each.on(urllib.parse.urlsplit(url).netloc) for each in _samples(url)]
            except NoMetrics:
                continue
        return Page(samples, at)


class Prometheus:
    """All series of r1 that a Prometheus has."""

    def __init__(self, url: str, now: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._now = now

    def read(self) -> Page:
        """As they were scraped last. Raises NoMetrics."""
        found = query(self._url, _SERIES)
        if not found:
            raise NoMetrics(f"{self._url} has no series of r1; does it scrape the gateway?")
        return Page(found, self._now())


def find_source(url: str, nodes: Sequence[str]) -> Source:
    """The Prometheus or gateway at a URL. Raises NoMetrics."""
    base = url.rstrip("/")
    try:
        query(base, "vector(1)")
    except NoMetrics:
        return Ports(base, nodes)
    return Prometheus(base)


def query(url: str, expression: str) -> list[Sample]:
    """An instant query. Raises NoMetrics."""
    told = _get(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
    try:
        rows = json.loads(told)["data"]["result"]
        return [
            Sample(row["metric"].get("__name__", ""), row["metric"], float(row["value"][1]))
            for row in rows
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NoMetrics(f"{url} is no Prometheus") from error


def _samples(url: str) -> list[Sample]:
    try:
        return parse(_get(f"{url}/metrics"))
    except ValueError as error:
        raise NoMetrics(f"{url}/metrics has no metrics: {error}") from error


def _get(url: str) -> str:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise NoMetrics(f"{url} is no URL: give one such as http://127.0.0.1:8081")
    try:
        with _DIRECTLY.open(url, timeout=_TIMEOUT_S) as response:
            return str(response.read().decode())
    except (OSError, ValueError) as error:
        raise NoMetrics(f"{url.partition('?')[0]} doesn't answer: {error}") from error
