"""`r1 top`: models, replicas and latencies of a running deployment, live."""

import argparse
import sys
import time
from typing import NoReturn

from rich.console import Console
from rich.live import Live
from rich.text import Text

from r1.panel.figures import figures
from r1.panel.page import Page
from r1.panel.screen import screen
from r1.panel.sources import NoMetrics, Ports, Source, find_source
from r1.stack.find import NoStack, add_base_argument, complain, find

_WIDTH = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument(
        "--url", metavar="URL", help="admin port of a gateway, or a Prometheus, somewhere else"
    )
    parser.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="URL",
        help="telemetry port of a node, with --url of a gateway; may be given several times",
    )
    parser.add_argument(
        "--interval",
        type=float,
        default=2.0,
        metavar="S",
        help="seconds between two readings, from which rates are made (2); a Prometheus has news "
        "only as often as it scrapes",
    )
    parser.add_argument("--once", action="store_true", help="print one frame and end")


def run(arguments: argparse.Namespace) -> int:
    """Show frames until interrupted; 1 if there is nothing to show."""
    if arguments.interval <= 0:
        return complain("top", ValueError("--interval must be above 0 seconds"))
    try:
        source, place = choose(arguments)
        before = source.read()
        title = f"r1 top  {place}  every {arguments.interval:g} s"
        if arguments.once:
            time.sleep(arguments.interval)
            console = Console(width=None if sys.stdout.isatty() else _WIDTH)
            console.print(screen(figures(before, source.read()), title))
            return 0
        watch(source, before, arguments.interval, title)
    except (NoStack, NoMetrics) as error:
        return complain("top", error)


def watch(source: Source, before: Page, interval_s: float, title: str) -> NoReturn:
    """Show frame after frame, also while what is watched is away for a while."""
    with Live(screen(figures(before, before), title), auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(interval_s)
            try:
                after = source.read()
            except NoMetrics as error:
                live.update(Text(str(error), "red"), refresh=True)
                continue
            live.update(screen(figures(before, after), title), refresh=True)
            before = after


def choose(arguments: argparse.Namespace) -> tuple[Source, str]:
    """What is to be read, and its name.

    Raises:
        NoStack: nothing was named, and no stack runs here.
        NoMetrics: the URL is none.
    """
    if arguments.url is not None:
        return find_source(arguments.url, arguments.node), arguments.url
    _, status = find(arguments.port_base)
    address = "http://127.0.0.1:"
    nodes = [address + str(status.ports["telemetry"])]
    return Ports(address + str(status.ports["admin"]), nodes), f"stack {status.base}"
