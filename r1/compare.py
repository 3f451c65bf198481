"""`r1 compare`, or `r1 bench compare`: r1 beside others in one run, as tables and plots."""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loadtests.compare import engines, gateways, plots
from loadtests.compare.cases import CASES
from loadtests.compare.report import Section
from loadtests.compare.servers import SERVERS
from loadtests.gateways import peers
from loadtests.gateways.report import Bar
from loadtests.gateways.targets import CannotStart

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "what",
        choices=("gateways", "engines"),
        help="gateways: r1's and others, in front of simulated model servers; engines: r1 whole, "
        "vLLM's own server and Ray Serve LLM's default ingress, with a nano model",
    )
    parser.add_argument("--cases", type=_names, metavar="A,B", help="gateways: these alone")
    parser.add_argument("--servers", type=_names, metavar="A,B", help="gateways: these alone")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of each (default 3)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="gateways: of a load (default 2)"
    )
    parser.add_argument(
        "--users", type=_numbers, default=engines.USERS, metavar="N,M", help="engines: at once"
    )
    parser.add_argument(
        "--port-base", type=int, default=12600, metavar="N", help="engines: r1's first port"
    )
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(".peers"),
        metavar="DIR",
        help="virtual environment of the other gateways (default .peers)",
    )
    parser.add_argument("--install", action="store_true", help="install what is missing there")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write all rounds (JSON) and plots (SVG) there"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print Markdown; 1 if a bar was missed or nothing could be measured."""
    measure = _gateways if arguments.what == "gateways" else _engines
    # As with Ctrl-C: what was started is ended.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        compared = measure(arguments)
    except CannotStart as error:
        print(f"r1 compare: {error}", file=sys.stderr)
        return 1
    bars = "\n".join(bar.line() for bar in compared.bars)
    parts = [compared.notes, *(section.markdown() for section in compared.sections), bars]
    print("\n\n".join(part for part in parts if part))
    if arguments.out is not None:
        _write(compared.sections, arguments.out)
    return 0 if all(bar.reached for bar in compared.bars) else 1


@dataclass(frozen=True)
class Compared:
    """What is told: how it was set up, the tables, and what they are held against."""

    notes: str
    sections: Sequence[Section]
    bars: Sequence[Bar] = ()


def _gateways(arguments: argparse.Namespace) -> Compared:
    servers = _chosen(arguments.servers, {each.name: each for each in SERVERS}, "server")
    cases = _chosen(arguments.cases, {each.name: each for each in CASES}, "case")
    if arguments.install:
        peers.install(arguments.peers)
    options = gateways.Options(arguments.peers, arguments.rounds, arguments.seconds)
    return Compared(gateways.settings(servers), gateways.compare(cases, servers, options))


def _engines(arguments: argparse.Namespace) -> Compared:
    sections, bars = engines.compare(arguments.users, arguments.rounds, arguments.port_base)
    return Compared(engines.SETTINGS, sections, bars)


def _chosen(names: Sequence[str] | None, known: dict[str, T], what: str) -> list[T]:
    """Raises CannotStart for a name that is not there."""
    for name in names or ():
        if name not in known:
            raise CannotStart(f"there is no {what} {name!r}; there are: {', '.join(known)}")
    return [each for name, each in known.items() if names is None or name in names]


def _write(sections: Sequence[Section], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        data = json.dumps(section.data(), indent=1)
        (folder / f"{section.name}.json").write_text(data + "\n", "utf-8")
        plots.draw(section, folder / f"{section.name}.svg")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _names(text))
