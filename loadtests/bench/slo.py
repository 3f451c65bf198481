"""What a service promises, and whether a load's figures kept it. Pure but for reading the file.

goodput: {ttft: 1000, tpot: 100}     # milliseconds that a good call may take at most
most: {p99_ttft_ms: 2000, failed_rate: 0.001, wrong_rate: 0.02}
least: {request_goodput: 5}
users:                               # the same of one kind of users
  classification: {most: {p99_e2el_ms: 500}}
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

from loadtests.bench.figures import GOODPUT, figures
from loadtests.users.kinds import KINDS, TRACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NUMBERS = frozenset(
    name for name, value in figures([], {}).items() if isinstance(value, int | float)
)
"""The figures that a gate may be about."""


class Gates(BaseModel):
    """Bounds on figures by their names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    most: dict[str, float] = Field(default_factory=dict)
    least: dict[str, float] = Field(default_factory=dict)


class Slo(Gates):
    """The file. Without one nothing may fail."""

    goodput: dict[str, NonNegativeFloat] | None = None
    users: dict[str, Gates] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Slo:
        """Read a file.

        Raises:
            OSError: it can't be read.
            ValueError: it is no SLO; the message names the field.
        """
        try:
            given = yaml.safe_load(path.read_text("utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: no YAML: {error}") from error
        return cls.of(given or {}, str(path))

    @classmethod
    def of(cls, given: Any, name: str = "slo") -> Slo:
        """Check values. Raises ValueError that names the field."""
        try:
            slo = cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise ValueError(f"{name}: {place}: {first['msg']}") from None
        strange = sorted(set(slo.goodput or ()) - set(GOODPUT))
        if strange:
            raise ValueError(f"{name}: goodput.{strange[0]}: there are {', '.join(GOODPUT)}")
        for place, figure in slo._names():
            if figure not in NUMBERS:
                near = difflib.get_close_matches(figure, NUMBERS, 1)
                hint = f"; is it {near[0]}?" if near else ""
                raise ValueError(f"{name}: {place}: there is no figure {figure!r}{hint}")
            if figure == "request_goodput" and slo.goodput is None:
                raise ValueError(f"{name}: {place}: say what is good: goodput: {{ttft: 1000}}")
        unknown = sorted(set(slo.users) - set(KINDS) - {TRACE})
        if unknown:
            raise ValueError(f"{name}: users.{unknown[0]}: there are {', '.join(KINDS)}, {TRACE}")
        return slo

    def _names(self) -> Iterator[tuple[str, str]]:
        for path, gates in (("", self), *((f"users.{k}.", v) for k, v in self.users.items())):
            yield from ((f"{path}most", each) for each in gates.most)
            yield from ((f"{path}least", each) for each in gates.least)


NOTHING_FAILS = Slo(most={"failed": 0.0})


@dataclass(frozen=True)
class Verdict:
    """One gate and what was measured; None: there was nothing to measure."""

    name: str
    least: bool
    bound: float
    measured: float | None

    @property
    def kept(self) -> bool:
        """Whether the promise was kept; what was not measured was not."""
        if self.measured is None:
            return False
        return self.measured >= self.bound if self.least else self.measured <= self.bound


@dataclass(frozen=True)
class Judgement:
    """All gates."""

    verdicts: tuple[Verdict, ...] = field(default=())

    @property
    def kept(self) -> bool:
        """Whether all were kept."""
        return all(each.kept for each in self.verdicts)

    def table(self) -> str:
        """A line a gate, the missed ones marked."""
        rows = [("gate", "bound", "measured", "")]
        for each in self.verdicts:
            bound = f"{'≥' if each.least else '≤'} {each.bound:g}"
            measured = "nothing" if each.measured is None else f"{each.measured:,.6g}"
            rows.append((each.name, bound, measured, "kept" if each.kept else "MISSED"))
        wide = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            f"{name:<{wide[0]}}  {bound:>{wide[1]}}  {measured:>{wide[2]}}  {state}".rstrip()
            for name, bound, measured, state in rows
        )


def judge(slo: Slo, found: Mapping[str, Any]) -> Judgement:
    """Hold figures against what was promised. A load without a whole answer keeps no latency."""
    verdicts = list(_of(slo, found, ""))
    for kind, gates in slo.users.items():
        verdicts += _of(gates, found["users"].get(kind, {}), f"{kind}: ")
    return Judgement(tuple(verdicts))


def _of(gates: Gates, found: Mapping[str, Any], prefix: str) -> Iterator[Verdict]:
    for least, bounds in ((False, gates.most), (True, gates.least)):
        for name, bound in bounds.items():
            yield Verdict(prefix + name, least, bound, _measured(name, found))


def _measured(name: str, found: Mapping[str, Any]) -> float | None:
    """A latency of no answer at all is no 0."""
    missing = not found.get("calls")
    if name.endswith("_ms") and name != "max_client_lateness_ms":
        # Nothing takes no time at all.
        missing = missing or found[name] == 0
    if name == "wrong_rate":
        missing = missing or not found["judged"]
    return None if missing else found.get(name)
