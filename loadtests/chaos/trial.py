"""One fault under load, in front of one system."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from loadtests.chaos.faults import broken
from loadtests.chaos.flow import flowing
from loadtests.chaos.outcome import Outcome, outcome
from loadtests.chaos.table import Row

if TYPE_CHECKING:
    from loadtests.chaos.faults import Fault
    from loadtests.chaos.stage import Stage
    from loadtests.chaos.systems import System
    from loadtests.steady.traffic import Traffic

LOADS = {"streams": True, "calls": False}
_SETTLES_S = 60.0
"""How long after a fault all kinds of calls may take to be answered well."""


def trial(stage: Stage, system: System, known: Traffic, fault: Fault, hold_s: float) -> list[Row]:
    """Traffic, the fault for `hold_s`, and traffic until all is well: a row for each load."""

    def row(load: str, result: Outcome | str) -> Row:
        return Row(fault.name, hold_s, fault.spares, system.name, load, result)

    if fault.stores and not system.stores:
        return []
    if (reason := fault.missing(stage)) is not None:
        return [row("all", reason)]
    resumed = stage.served.resumed()
    with flowing(known) as flow:
        flow.answered(0, 1, _SETTLES_S)
        flow.midway(_SETTLES_S)
        struck_at = flow.now
        with broken(fault, stage):
            time.sleep(hold_s)
        # Those that run now were disturbed; each caller begins another one behind it.
        flow.answered(len(flow.traffic.calls), 3, _SETTLES_S)
    traffic, continued = flow.traffic, None
    if stage.served.admin is not None:
        continued = round(stage.served.resumed() - resumed)
    return [
        row(
            load,
            outcome(
                [call for call in traffic.calls if call.question.stream == streams],
                traffic.expected,
                traffic.faults,
                struck_at=struck_at,
                resumed=continued if streams else None,
            ),
        )
        for load, streams in LOADS.items()
    ]
