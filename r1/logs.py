"""`r1 logs [part] [-f]`: what the parts of a stack wrote."""

import argparse
import sys
import time
from collections.abc import Callable

from r1.stack.find import add_base_argument
from r1.stack.home import Home
from r1.stack.launch import Follower

PARTS = ("supervisor", "store", "models", "gateway")
POLL_S = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument("part", nargs="?", choices=(*PARTS, "progress"), help="one part only")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument(
        "-n", "--lines", type=int, default=50, metavar="N", help="last lines (default: 50)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the last lines of one log or of all, and follow them if asked."""
    home = Home.of(arguments.port_base)
    names = (arguments.part,) if arguments.part else PARTS
    files = {name: home.progress if name == "progress" else home.log(name) for name in names}
    if not any(path.exists() for path in files.values()):
        print(f"r1 logs: there are no logs in {home.logs}", file=sys.stderr)
        return 1
    alone = len(files) == 1
    followers = []
    for name, path in files.items():
        mark = "" if alone else f"{name:<10} "
        follower = Follower(path, _printer(mark))
        follower.skip(arguments.lines)
        follower.drain()
        followers.append(follower)
    while arguments.follow:
        time.sleep(POLL_S)
        for follower in followers:
            follower.drain()
    return 0


def _printer(mark: str) -> Callable[[str], None]:
    def write(text: str) -> None:
        for line in text.splitlines():
            print(f"{mark}{line}", flush=True)

    return write
