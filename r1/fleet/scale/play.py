"""Plays a scenario with one gateway in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from r1.fleet.clock import run
from r1.fleet.scale.asking import Engines
from r1.fleet.scale.fleet import Fleet, until
from r1.fleet.scale.ledger import Figures, Seen, figures
from r1.fleet.scale.machine import node
from r1.fleet.scale.own import Own
from r1.fleet.scale.people import Crew
from r1.fleet.scale.plain import Plain
from r1.fleet.scale.scaler import Scaler, by_load, by_policy
from r1.fleet.scale.scenarios import LONGEST_ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r1.fleet.scale.fleet import Member
    from r1.fleet.scale.people import Gateway
    from r1.fleet.scale.scenarios import Event, Policy, Scenario

_REPLICAS_A_WORKER = 16
_SAMPLES = 200


@dataclass
class Played:
    """What came of it; `seen` has every question, `replicas` the number of replicas over time."""

    scenario: Scenario
    policy: Policy
    figures: Figures
    seen: list[Seen]
    replicas: list[tuple[float, int]]
    under_way: int
    """Requests that engines have when all questions have their endings: none."""


def make_gateway(policy: Policy, scenario: Scenario, engines: Engines, seed: int) -> Gateway:
    """The gateway that goes by a policy."""
    if policy == "r1":
        pace = scenario.autoscaling
        replicas = scenario.replicas if pace is None else pace.max_replicas
        workers = -(-replicas // _REPLICAS_A_WORKER)
        return Own(engines, scenario.people, seed, workers=workers)
    window = engines.fleet.machine.sequences if policy == "round robin" else None
    return Plain(engines, policy, window)


def play(scenario: Scenario, policy: Policy, seed: int = 1) -> Played:
    """The scenario with a gateway of this policy."""

    async def main() -> Played:
        machine = node()
        machine = replace(machine, cold_start_s=machine.cold_start_s * scenario.cold_start)
        fleet = Fleet(machine, scenario.zones, seed)
        for _ in range(scenario.replicas):
            fleet.add(ready=True)
        engines = Engines(fleet, seed)
        gateway = make_gateway(policy, scenario, engines, seed)
        crew = Crew(scenario.people, gateway, seed, scenario.until_s, scenario.level)
        replicas: list[tuple[float, int]] = []
        beside = [
            asyncio.create_task(each)
            for each in (
                _count(fleet, scenario, replicas),
                *(_happen(fleet, event) for event in scenario.events),
            )
        ]
        if (pace := scenario.autoscaling) is not None:
            wanted = by_policy if policy == "r1" else by_load
            scaler = Scaler(fleet, pace, wanted, lambda: gateway.waiting, LONGEST_ANSWER_S)
            beside.append(asyncio.create_task(scaler.run()))
        await crew.run(scenario.crowds)
        for each in beside:
            if each.done():
                # What happened is over; an error there must not pass for a quiet day.
                each.result()
            each.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await gateway.close()
        fleet.close_all()
        return Played(
            scenario,
            policy,
            figures(
                crew.seen,
                scenario.people,
                measured=(scenario.warm_up_s, scenario.until_s),
                trouble=scenario.trouble,
                attempts=engines.asked,
                replica_hours=fleet.hours(scenario.warm_up_s, scenario.until_s),
                usd_per_hour=fleet.machine.usd_per_hour,
                preemptions=fleet.preemptions,
            ),
            crew.seen,
            replicas,
            sum(each.replica.in_flight for each in fleet.members.values()),
        )

    return run(main())


async def _count(fleet: Fleet, scenario: Scenario, into: list[tuple[float, int]]) -> None:
    """Note the number of replicas over the measured time."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(scenario.warm_up_s)
    while True:
        into.append((loop.time(), len(fleet.there)))
        await asyncio.sleep(scenario.measured_s / _SAMPLES)


async def _happen(fleet: Fleet, event: Event) -> None:
    await asyncio.sleep(event.at_s)
    match event.kind:
        case "zone lost":
            for _ in fleet.close(int(event.value)):
                # What is lost is started again, in the zones that are left.
                fleet.add()
        case "failing":
            fleet.failing = event.value
        case "slow":
            fleet.slow_down(event.value)
        case "upgrade":
            await _upgrade(fleet, event.value)


async def _upgrade(fleet: Fleet, grace_s: float) -> None:
    """A quarter more start with the new engine, and as many old ones leave once they are ready."""
    old = fleet.there
    several = max(1, len(old) // 4)
    for place in range(0, len(old), several):
        going = old[place : place + several]
        coming = [fleet.add() for _ in going]
        await until(partial(_ready, coming))
        await asyncio.gather(*(fleet.leave(each, grace_s) for each in going))


def _ready(members: Sequence[Member]) -> bool:
    return all(each.ready for each in members)
