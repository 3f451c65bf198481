"""Metrics as they were at one moment. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Sample:
    """One value of one series."""

    name: str
    labels: Mapping[str, str]
    value: float

    def on(self, instance: str) -> "Sample":
        """The same with the label that Prometheus gives to what it scrapes there."""
        return Sample(self.name, {**self.labels, "instance": instance}, self.value)


class Page:
    """Samples by name; `at` is in seconds of the reader's clock."""

    def __init__(self, samples: Iterable[Sample], at: float) -> None:
        self.at = at
        self._samples: dict[str, list[Sample]] = {}
        for each in samples:
            self._samples.setdefault(each.name, []).append(each)

    def of(self, name: str, **labels: str) -> list[Sample]:
        """All samples of a name that have these labels."""
        wanted = labels.items()
        return [each for each in self._samples.get(name, ()) if wanted <= each.labels.items()]

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 where there are none."""
        return sum(each.value for each in self.of(name, **labels))

    def values(self, name: str, label: str) -> set[str]:
        """The values that a label has."""
        return {each.labels[label] for each in self.of(name) if label in each.labels}

    def largest(self, name: str, by: str, **labels: str) -> dict[str, float]:
        """The largest value for each value of `by`, for several gateways tell of one thing."""
        found: dict[str, float] = {}
        for each in self.of(name, **labels):
            key = each.labels.get(by, "")
            found[key] = max(each.value, found.get(key, each.value))
        return found


def parse(text: str) -> list[Sample]:
    """The samples of a page in Prometheus' text format. Raises ValueError."""
    return [
        Sample(sample.name, sample.labels, float(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def grown(before: Page, after: Page, name: str, **labels: str) -> float:
    """By how much counters have grown in between.

    One that is smaller now began anew, and one that was not there began at 0.
    """
    known = {_key(each): each.value for each in before.of(name, **labels)}
    return sum(_growth(known.get(_key(each), 0.0), each.value) for each in after.of(name, **labels))


def buckets(before: Page, after: Page, name: str, **labels: str) -> dict[float, float]:
    """Observations in between of a histogram: cumulated, by the buckets' upper bounds."""
    known = {_key(each): each.value for each in before.of(f"{name}_bucket", **labels)}
    found: dict[float, float] = {}
    for each in after.of(f"{name}_bucket", **labels):
        bound = float(each.labels["le"])
        growth = _growth(known.get(_key(each), 0.0), each.value)
        found[bound] = found.get(bound, 0.0) + growth
    return found


def _growth(before: float, after: float) -> float:
    return after if after < before else after - before


def _key(sample: Sample) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(sample.labels.items()))
