"""What fleets go through: each scenario in full for the record, and small for tests.

They were chosen before anything was tuned, and both sizes hold the same load a replica: people who
keep it at three quarters of what it can do, unless a scenario says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from r1.fleet.scale.load import Crowd, People
from serving.engine.scaling import Autoscaling

Kind = Literal["zone lost", "failing", "slow", "upgrade"]
Policy = Literal["r1", "round robin", "least loaded"]
POLICIES: tuple[Policy, ...] = ("r1", "round robin", "least loaded")

USERS_PER_REPLICA = 780
LONGEST_ANSWER_S = 1800.0
"""16k tokens at 9 a second, slower than any replica here: the time that a replica which leaves has
for what it answers."""


@dataclass(frozen=True)
class Event:
    """Something happens at `at_s`; `value` is the zone, the share of attempts, the factor or the
    seconds of grace."""

    at_s: float
    kind: Kind
    value: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """A fleet, those who ask it and what happens. Times in seconds."""

    name: str
    replicas: int
    people: People
    zones: int = 3
    events: tuple[Event, ...] = ()
    crowds: tuple[Crowd, ...] = ()
    warm_up_s: float = 240.0
    measured_s: float = 600.0
    levels: tuple[float, ...] = ()
    """Parts of the usual load, evenly over the measured time; the load is linear between them."""
    autoscaling: Autoscaling | None = None
    """None: the fleet stays as it is."""
    cold_start: float = 1.0
    """Part of what the plan says of a replica's start."""

    @property
    def until_s(self) -> float:
        """When the last question is asked."""
        return self.warm_up_s + self.measured_s

    @property
    def trouble(self) -> tuple[float, float]:
        """From the first event to the last, or the measured time."""
        if not self.events:
            return self.warm_up_s, self.until_s
        last = self.events[-1].at_s
        return self.events[0].at_s, self.until_s if last == self.events[0].at_s else last

    def level(self, now: float) -> float:
        """The part of the usual load at a time."""
        if not self.levels:
            return 1.0
        place = max(0.0, now - self.warm_up_s) / self.measured_s * len(self.levels)
        first, part = divmod(place, 1.0)
        ahead = self.levels[(int(first) + 1) % len(self.levels)]
        return self.levels[int(first) % len(self.levels)] * (1.0 - part) + ahead * part


def _people(replicas: int, times: float = 1.0) -> People:
    return People(round(replicas * USERS_PER_REPLICA * times))


def grown(replicas: int, users: int, warm_up_s: float, measured_s: float) -> Scenario:
    """A fleet and its people, and nothing happens."""
    name = f"{replicas} replica{'s' * (replicas > 1)}, {users:,} users"
    return Scenario(name, replicas, People(users), warm_up_s=warm_up_s, measured_s=measured_s)


DAY = (
    0.45, 0.35, 0.28, 0.25, 0.22, 0.22, 0.28, 0.42, 0.65, 0.85, 0.95, 1.0,
    0.92, 0.9, 0.97, 1.0, 0.95, 0.88, 0.8, 0.78, 0.8, 0.78, 0.68, 0.55,
)  # fmt: skip
"""Load by the hour of a day: a steep morning, two peaks and an evening."""


def day(least: int, most: int, hour_s: float) -> Scenario:
    """A day whose peak needs two thirds of the replicas that there may be.

    With hours that are shorter than in life cold starts and the pace of scaling are so, too: what
    is left out of such a day are only questions.
    """
    part = hour_s / 3600.0
    return Scenario(
        "a day, autoscaled", least, _people(most, 0.67), warm_up_s=hour_s,
        measured_s=24 * hour_s, levels=DAY, cold_start=part,
        autoscaling=Autoscaling(
            min_replicas=least, max_replicas=most, upscale_delay_s=10.0 * part,
            downscale_delay_s=600.0 * part,
        ),
    )  # fmt: skip


def zone(replicas: int, after_s: float) -> Scenario:
    """A third of the fleet goes at once, with what it answers; what is left is enough."""
    return Scenario(
        "a zone is lost", replicas, _people(replicas, 0.75), warm_up_s=180.0,
        measured_s=120.0 + after_s, events=(Event(300.0, "zone lost", 0),),
    )  # fmt: skip


def storm(replicas: int, lasts_s: float) -> Scenario:
    """Nine of ten attempts fail, everywhere, once their prompt was computed."""
    return Scenario(
        "a retry storm", replicas, _people(replicas), warm_up_s=180.0,
        measured_s=120.0 + 2 * lasts_s,
        events=(Event(240.0, "failing", 0.9), Event(240.0 + lasts_s, "failing", 0.0)),
    )  # fmt: skip


def spell(replicas: int, lasts_s: float) -> Scenario:
    """Every engine takes four times as long for everything."""
    return Scenario(
        "a slow spell", replicas, _people(replicas), warm_up_s=180.0,
        measured_s=120.0 + 5 * lasts_s,
        events=(Event(240.0, "slow", 4.0), Event(240.0 + lasts_s, "slow", 1.0)),
    )  # fmt: skip


def herd_on_prompt(replicas: int, requests: int) -> Scenario:
    """Within two seconds all ask the same."""
    return Scenario(
        "a herd on one prompt", replicas, _people(replicas), warm_up_s=180.0, measured_s=240.0,
        crowds=(Crowd(requests, 240.0, 2.0, "tenant-0", same=True),),
    )  # fmt: skip


def herd_on_key(replicas: int, requests: int) -> Scenario:
    """Within two minutes one key asks for twenty times its share, each time something else."""
    return Scenario(
        "a herd on one key", replicas, _people(replicas), warm_up_s=180.0, measured_s=300.0,
        crowds=(Crowd(requests, 240.0, 120.0, "the herd", same=False),),
    )  # fmt: skip


def upgrade(
    name: str, replicas: int, grace_s: float, after_s: float, cold_start: float = 1.0
) -> Scenario:
    """All engines are replaced, a quarter at a time."""
    return Scenario(
        name, replicas, _people(replicas, 0.9), warm_up_s=180.0, measured_s=after_s,
        events=(Event(240.0, "upgrade", grace_s),), cold_start=cold_start,
    )  # fmt: skip


FULL = (
    grown(1, 10, 240.0, 600.0),
    grown(1, 780, 240.0, 600.0),
    grown(8, 6_240, 150.0, 240.0),
    grown(32, 25_000, 120.0, 120.0),
    grown(128, 100_000, 90.0, 60.0),
    grown(1, 7_800, 120.0, 240.0),
    grown(1, 78_000, 60.0, 60.0),
    day(2, 8, 300.0),
    zone(12, 180.0),
    storm(8, 120.0),
    spell(8, 120.0),
    herd_on_prompt(8, 10_000),
    herd_on_key(8, 6_000),
    upgrade("an engine upgrade", 4, LONGEST_ANSWER_S, 2700.0),
    upgrade("an upgrade in haste", 4, 20.0, 2700.0),
)
SMALL = (
    grown(1, 10, 60.0, 300.0),
    grown(2, 1_560, 120.0, 120.0),
    grown(1, 7_800, 60.0, 60.0),
    grown(1, 78_000, 20.0, 20.0),
    day(1, 4, 40.0),
    zone(3, 120.0),
    storm(2, 60.0),
    spell(2, 60.0),
    herd_on_prompt(1, 500),
    herd_on_key(2, 1_000),
    upgrade("an engine upgrade", 2, LONGEST_ANSWER_S, 300.0, 0.04),
    upgrade("an upgrade in haste", 2, 20.0, 300.0, 0.04),
)
SIZES = {"small": SMALL, "full": FULL}
