"""`r1 bench`: a load against any OpenAI-compatible server, its figures and its gates."""

import argparse
import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

from loadtests.bench.driver import Driver, NoServer, Plan
from loadtests.bench.report import About, Report
from loadtests.bench.slo import NOTHING_FAILS, Slo
from loadtests.bench.watch import watching
from loadtests.client.ask import Target
from loadtests.load.arrivals import poisson
from loadtests.load.lengths import CONVERSATION, Lengths
from loadtests.load.shapes import Shape
from loadtests.load.trace import play, read
from loadtests.users.keys import key_for
from loadtests.users.kinds import Mix
from r1.api import Endpoint
from r1.stack.find import NoStack, add_base_argument, complain, find

MISSED = 1
NO_LOAD = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    usual = Plan()
    parser.epilog = (
        "Exit status: 0, every gate was kept; 1, one was missed (without --slo: a call failed); "
        "2, there was no load. Shapes: 8, steps:1,4,16, ramp:1,64, spike:4,40, day:2,30."
    )
    add_base_argument(parser)
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="ends in /v1; else $OPENAI_BASE_URL, else the running stack",
    )
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="else $OPENAI_API_KEY")
    parser.add_argument(
        "--key-for",
        action="append",
        default=[],
        metavar="USERS=FILE",
        help="the key of one kind of users, such as abusive=FILE",
    )
    parser.add_argument("--model", default="deepseek-r1", help="(deepseek-r1)")
    loads = parser.add_mutually_exclusive_group()
    loads.add_argument("--users", metavar="SHAPE", help="closed load: so many users (4)")
    loads.add_argument("--rate", metavar="SHAPE", help="open load: Poisson, so many calls a second")
    loads.add_argument("--trace", type=Path, metavar="FILE", help="Azure's, BurstGPT's, Mooncake's")
    parser.add_argument("--speed", type=float, default=1.0, help="of the trace's time (1)")
    parser.add_argument(
        "--mix", default="chat", metavar="USERS", help="kinds of users: chat=3,reasoning (chat)"
    )
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="(30)")
    parser.add_argument("--drain", type=float, default=usual.drain_s, help="seconds after it (60)")
    parser.add_argument("--timeout", type=float, default=usual.timeout_s, help="s a call (600)")
    parser.add_argument("--most-calls", type=int, default=usual.most_calls, help="(100000)")
    parser.add_argument("--think", type=float, default=0.0, help="mean pause of users, seconds (0)")
    parser.add_argument(
        "--lengths", type=Path, default=CONVERSATION, metavar="FILE", help="a trace with lengths"
    )
    parser.add_argument("--longest-prompt", type=int, default=1024, help="tokens (1024)")
    parser.add_argument("--longest-answer", type=int, default=256, help="tokens (256)")
    parser.add_argument(
        "--natural-ends", action="store_true", help="don't send ignore_eos, which not all know"
    )
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument(
        "--slo", type=Path, metavar="FILE", help="gates, as YAML (docs/loadtests.md)"
    )
    parser.add_argument(
        "--metrics", metavar="URL", help="the gateway's admin port, for the window over time"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="report.json, .html, calls.jsonl")


def run(arguments: argparse.Namespace) -> int:
    """Put the load on, say what came of it; the exit status."""
    try:
        slo = NOTHING_FAILS if arguments.slo is None else Slo.load(arguments.slo)
        target, admin = _target(arguments)
        report = asyncio.run(_bench(arguments, target, arguments.metrics or admin, slo))
    except (NoStack, NoServer, ValueError, OSError) as error:
        complain("bench", error)
        return NO_LOAD
    print(report.text())
    if arguments.out is not None:
        report.write(arguments.out)
        print(f"\n{arguments.out / 'report.html'}")
    return 0 if report.judgement.kept else MISSED


async def _bench(
    arguments: argparse.Namespace, target: Target, admin: str | None, slo: Slo
) -> Report:
    plan = _plan(arguments)
    driver = Driver(target, plan)
    users = rate = None
    async with watching(admin) as watch:
        if arguments.trace is not None:
            calls = play(
                read(arguments.trace),
                speed=arguments.speed,
                seconds=plan.seconds,
                most=plan.most_calls,
            )
            load = f"trace {arguments.trace.name} at {arguments.speed:g} times its speed"
            await driver.replay(calls)
        elif arguments.rate is not None:
            shape = Shape.parse(arguments.rate)
            rate, load = shape.highest, f"open, {shape.text} calls/s of {arguments.mix}"
            await driver.open(poisson(shape, plan.seconds, plan.seed, plan.most_calls))
        else:
            shape = Shape.parse(arguments.users or "4")
            users, load = round(shape.highest), f"closed, {shape.text} users of {arguments.mix}"
            await driver.closed(shape)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    about = About(target.url, target.model, date, load, rate, users, plan.seed)
    return Report.of(about, driver.calls, slo, watch.samples)


def _plan(arguments: argparse.Namespace) -> Plan:
    for name in ("seconds", "timeout", "most_calls"):
        if getattr(arguments, name) <= 0:
            raise ValueError(f"--{name.replace('_', '-')} must be above 0")
    lengths = Lengths.of(
        arguments.lengths, prompt=arguments.longest_prompt, answer=arguments.longest_answer
    )
    return Plan(
        mix=Mix.parse(arguments.mix),
        lengths=lengths,
        seconds=arguments.seconds,
        drain_s=arguments.drain,
        timeout_s=arguments.timeout,
        most_calls=arguments.most_calls,
        think_s=arguments.think,
        forced=not arguments.natural_ends,
        seed=arguments.seed,
    )


def _target(arguments: argparse.Namespace) -> tuple[Target, str | None]:
    """The server, and its admin port if it is the running stack's gateway.

    Raises:
        NoStack: no server is named, and no stack runs.
        ValueError, OSError: a key or an address can't be read.
    """
    keys = dict(key_for(each) for each in arguments.key_for)
    url, key = arguments.url or os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    admin = None
    if url is None:
        _, status = find(arguments.port_base)
        endpoint = Endpoint.choose(arguments.port_base)
        url, key = endpoint.url, endpoint.key
        admin = f"http://127.0.0.1:{status.ports['admin']}"
    if arguments.key_file is not None:
        key = arguments.key_file.read_text("utf-8").strip()
    return Target(url.rstrip("/"), arguments.model, (key or "").strip(), keys), admin
