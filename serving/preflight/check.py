"""A check: its id, what it looks at, and the function that does it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from serving.preflight.demand import Demand
from serving.preflight.deployment import Deployment
from serving.preflight.finding import Finding

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked for."""

    deployment: Deployment
    demands: tuple[Demand, ...]

    @property
    def on_gpus(self) -> tuple[Demand, ...]:
        """The demands for GPUs."""
        return tuple(each for each in self.demands if each.gpus)

    @property
    def several_nodes(self) -> tuple[Demand, ...]:
        """The demands whose engine spans nodes."""
        return tuple(each for each in self.demands if each.several_nodes)

    @property
    def over_rdma(self) -> tuple[Demand, ...]:
        """Those of them that count with RDMA."""
        return tuple(each for each in self.demands if each.rdma)

    @property
    def fetched(self) -> tuple[Demand, ...]:
        """The demands whose weights come from elsewhere."""
        return tuple(each for each in self.demands if each.fetched)


@dataclass(frozen=True, slots=True)
class Check(Generic[Facts]):
    """One question about a target. `run` is pure and gives at least one finding with this id."""

    id: str
    looks_at: str
    run: Callable[[Case, Facts], Iterable[Finding]]


def unseen(check: str, what: str, why: str) -> Finding:
    """The finding of a check that could not look."""
    mend = "allow it, or let somebody who may look run this"
    return Finding.warning(check, f"{what} can't be looked at: {why}", mend)


def listed(names: Iterable[str], most: int = 3) -> str:
    """Names in a sentence: the first few, and how many more there are."""
    found = sorted(set(names))
    more = len(found) - most
    return ", ".join(found[:most]) + (f" and {more} more" if more > 0 else "")


def size(count: float) -> str:
    """Bytes for a reader."""
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if abs(count) >= scale:
            number = count / scale
            return f"{number:,.0f} {unit}" if abs(number) >= 100 else f"{number:.3g} {unit}"
    return f"{count:.0f} B"
