"""Random faults under traffic for long: `python -m loadtests.soak --minutes 60`.

The stage and the faults are those of `python -m loadtests.chaos`, but for those that end a worker
with its callers' connections. Every greedy answer has to be the undisturbed one to the last
character and token; the gateway's processes have to stay the same, and their memory and descriptors
flat: the slope of a robust fit, after the first quarter. The same seed gives the same faults at the
same times. Exit status: 0, all of that was so; 1, something was not.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.chaos.catalog import catalog
from loadtests.chaos.engines import Command
from loadtests.chaos.faults import broken
from loadtests.chaos.flow import Flow, flowing
from loadtests.chaos.host import memory_group
from loadtests.chaos.room import Room
from loadtests.chaos.stage import stage
from loadtests.chaos.systems import r1
from loadtests.soak.flat import Growth
from loadtests.soak.schedule import schedule
from loadtests.soak.watch import Watch
from loadtests.steady.calls import DONE
from loadtests.steady.traffic import Load, Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.chaos.faults import Fault
    from loadtests.chaos.stage import Stage
    from loadtests.soak.schedule import Strike

LOAD = Load(long_callers=4, short_callers=3, long_tokens=300, pause_s=0.05, most_calls=10**7)
MEMORY, DESCRIPTORS = 0.05, 0.05
"""Shares of their medians by which memory and descriptors may grow."""
LEAST_BYTES, LEAST_DESCRIPTORS = 2 << 20, 4.0
"""What they may grow by in any case: less is noise."""


@dataclass
class Seen:
    """What callers got; answers that were right are only counted."""

    calls: int = 0
    tokens: int = 0
    failed: int = 0
    wrong: int = 0
    longest_pause_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    def take(self, flow: Flow) -> None:
        """Count the calls that are over, and let go of them."""
        calls = flow.traffic.calls
        count = len(calls)
        for call in calls[:count]:
            self.calls += 1
            self.tokens += call.answer.completion_tokens
            self.longest_pause_s = max(self.longest_pause_s, call.gap)
            found = flow.traffic.faults(call)
            if found:
                self.failed += call.ending != DONE
                self.wrong += call.ending == DONE
                at = call.began + call.duration
                self.faults.append(f"at {at:.1f} s, {call.question.kind}: {found[0]}")
        del calls[:count]


def disturb(made: Stage, flow: Flow, strikes: Sequence[Strike[Fault]], until_s: float) -> Seen:
    """All strikes at their times; what callers saw until the end."""
    seen = Seen()
    for strike in strikes:
        _wait(flow, seen, strike.at)
        print(
            f"at {flow.now:.0f} s: {strike.fault.name} for {strike.hold_s:.1f} s",
            file=sys.stderr,
            flush=True,
        )
        with broken(strike.fault, made):
            _wait(flow, seen, strike.at + strike.hold_s)
    _wait(flow, seen, until_s)
    return seen


def _wait(flow: Flow, seen: Seen, until_s: float) -> None:
    while (left := until_s - flow.now) > 0:
        time.sleep(min(left, 1.0))
        seen.take(flow)


def report(seen: Seen, watch: Watch, strikes: Sequence[Strike[Fault]], resumed: float) -> bool:
    """Print what was seen; whether all of it was as it has to be."""
    memory, descriptors = Growth.of(watch.memory), Growth.of(watch.descriptors)
    struck = Counter(strike.fault.name for strike in strikes)
    bars = {
        f"answers: {seen.calls} with {seen.tokens} tokens; failed: {seen.failed}": (
            seen.calls > 0 and not seen.failed
        ),
        f"answers that differ from the undisturbed ones: {seen.wrong}": not seen.wrong,
        f"memory of all processes: {memory.usual / 1e6:.1f} MB, grown by "
        f"{memory.grown / 1e6:+.2f} MB (at most {MEMORY:.0%})": memory.within(MEMORY, LEAST_BYTES),
        f"descriptors: {descriptors.usual:.0f}, grown by {descriptors.grown:+.1f} (at most "
        f"{DESCRIPTORS:.0%})": descriptors.within(DESCRIPTORS, LEAST_DESCRIPTORS),
        f"sets of processes: {len(watch.pids)}": len(watch.pids) == 1,
    }
    print(f"faults: {len(strikes)}; " + ", ".join(f"{n} × {name}" for name, n in struck.items()))
    print(f"streams that went on elsewhere: {resumed:.0f}")
    print(f"longest pause inside a stream: {seen.longest_pause_s:.1f} s")
    for sentence, reached in bars.items():
        print(f"{'reached' if reached else 'MISSED '}  {sentence}")
    for fault in seen.faults[:20]:
        print(f"- {fault}")
    return all(bars.values())


def soak(args: argparse.Namespace) -> bool:
    """The whole run."""
    with tempfile.TemporaryDirectory(prefix="r1-room-") as folder:
        room = Room.enter(Path(folder))
        command = Command.real(folder) if args.engine == "real" else Command.simulated()
        with (
            memory_group() as group,
            stage(room, command, seed=args.seed, group=group) as made,
            r1(made) as made.served,
        ):
            faults = []
            for fault in catalog():
                reason = fault.missing(made)
                if reason is not None:
                    print(f"left out: {fault.name}: {reason}")
                elif fault.spares:
                    faults.append((fault, fault.hold_s))
            seconds = args.minutes * 60
            strikes = schedule(args.seed, seconds, faults, most_hold_s=args.hold)
            known = Traffic(made.served.target, replace(LOAD, seed=args.seed))
            asyncio.run(known.learn())
            watch = Watch(made.served.child)
            try:
                with flowing(known) as flow:
                    seen = disturb(made, flow, strikes, seconds)
                seen.take(flow)
            finally:
                watch.close()
            return report(seen, watch, strikes, made.served.resumed())


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    line = argparse.ArgumentParser(
        prog="python -m loadtests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    line.add_argument("--minutes", type=float, default=60.0)
    line.add_argument("--engine", choices=("simulated", "real"), default="simulated")
    line.add_argument("--hold", type=float, default=60.0, help="most seconds of a fault")
    line.add_argument("--seed", type=int, default=1)
    args = line.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return 0 if soak(args) else 1


if __name__ == "__main__":
    raise SystemExit(main())
