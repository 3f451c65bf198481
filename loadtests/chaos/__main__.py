"""Faults and what they cost callers: `python -m loadtests.chaos`.

Steady greedy traffic whose answers are known runs through r1, two model servers behind it; fault
after fault begins, is held, and is undone; the table says what callers saw. Then the same with
LiteLLM in r1's place. Everything runs on this machine, in a network and with mounts of its own if
the user is root; what can't be tried is said in the table. Exit status: 0, r1 reached all that is
asked of it (loadtests/chaos/table.py); 1, it missed something.
`python -m loadtests.soak` is the long run with random faults.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.chaos.catalog import catalog
from loadtests.chaos.engines import Command
from loadtests.chaos.host import memory_group
from loadtests.chaos.room import Room
from loadtests.chaos.stage import stage
from loadtests.chaos.systems import systems
from loadtests.chaos.table import Row, table, verdict
from loadtests.chaos.trial import trial
from loadtests.gateways.targets import CannotStart
from loadtests.steady.traffic import Load, Traffic, UnsteadyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.chaos.faults import Fault
    from loadtests.chaos.stage import Stage
    from loadtests.chaos.systems import System

CALL_S = 60.0
"""A caller's own patience with one answer."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    line = argparse.ArgumentParser(
        prog="python -m loadtests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    line.add_argument("faults", nargs="*", metavar="FAULT", help="by the start of a name (all)")
    line.add_argument("--list", action="store_true", help="name the faults")
    line.add_argument("--engine", choices=("simulated", "real"), default="simulated")
    line.add_argument("--only", action="append", metavar="SYSTEM", help="r1, LiteLLM (all)")
    line.add_argument("--venv", type=Path, default=Path(".peers"), help="where LiteLLM is")
    line.add_argument("--streams", type=int, default=4, help="callers with long streams (4)")
    line.add_argument("--calls", type=int, default=3, help="callers with short calls (3)")
    line.add_argument("--tokens", type=int, default=300, help="of a long stream (300)")
    line.add_argument("--hold", type=float, help="seconds of each fault, instead of its own")
    line.add_argument("--seed", type=int, default=1, help="of questions and chance")
    line.add_argument("--json", type=Path, metavar="FILE", help="all rows are written there")
    return line


def load_of(args: argparse.Namespace) -> Load:
    """The traffic that the command line asks for."""
    return Load(
        long_callers=args.streams,
        short_callers=args.calls,
        long_tokens=args.tokens,
        pause_s=0.05,
        timeout_s=CALL_S,
        seed=args.seed,
    )


def measure(
    made: Stage, system: System, faults: Sequence[Fault], args: argparse.Namespace
) -> list[Row]:
    """All faults in front of one system; a sentence where it can't be had."""
    try:
        with system.start(made) as made.served:
            known = Traffic(made.served.target, load_of(args))
            asyncio.run(known.learn())
            rows = []
            for fault in faults:
                print(f"{system.name}: {fault.name}", file=sys.stderr, flush=True)
                held_s = fault.hold_s if args.hold is None else args.hold
                rows += trial(made, system, known, fault, held_s)
            return rows
    except (CannotStart, UnsteadyError) as error:
        return [Row("all", 0, True, system.name, "all", str(error))]


def run(args: argparse.Namespace, faults: Sequence[Fault]) -> list[Row]:
    """All systems, one after the other. Raises CannotStart where not even r1's parts start."""
    chosen = [each for each in systems(args.venv) if not args.only or each.name in args.only]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="r1-room-") as folder:
        room = Room.enter(Path(folder))
        command = Command.real(folder) if args.engine == "real" else Command.simulated()
        for system in chosen:
            with memory_group() as group, stage(room, command, seed=args.seed, group=group) as made:
                rows += measure(made, system, faults, args)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    line = parser()
    args = line.parse_args(argv)
    faults = [
        each for each in catalog() if not args.faults or each.name.startswith(tuple(args.faults))
    ]
    if args.list or not faults:
        print("\n".join(each.name for each in catalog()))
        return 0 if args.list else line.error("no such fault; there are those above")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = run(args, faults)
    if args.json:
        args.json.write_text(json.dumps([row.data() for row in rows], indent=1) + "\n", "utf-8")
    good, lines = verdict(rows)
    # What is above a table is kept as it was by whoever records it.
    print("\n".join(lines))
    print()
    print(table(rows))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
