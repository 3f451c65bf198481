"""Which stack a command means."""

import argparse
import os
import sys

from r1.stack.home import Home, state_root
from r1.stack.ports import DEFAULT_BASE
from r1.stack.status import StackStatus, load, running_bases

BASE_VARIABLE = "R1_PORT_BASE"


class NoStack(RuntimeError):
    """The stack that a command needs doesn't run; the message says which does."""


def add_base_argument(parser: argparse.ArgumentParser) -> None:
    """Add --port-base, whose default is $R1_PORT_BASE or the documented ports."""
    given = os.environ.get(BASE_VARIABLE)
    parser.add_argument(
        "--port-base",
        type=int,
        default=given or DEFAULT_BASE,
        metavar="N",
        help=f"first port of the stack, ${BASE_VARIABLE} or {DEFAULT_BASE}; "
        "other than that all its ports are within N to N+499",
    )


def find(base: int) -> tuple[Home, StackStatus]:
    """Return the home and status of the running stack with this base.

    Raises:
        NoStack: it doesn't run.
    """
    home = Home.of(base)
    status = load(home)
    if status is not None and status.is_alive():
        return home, status
    others = running_bases(state_root())
    if others:
        options = " or ".join(f"--port-base {other}" for other in others)
        raise NoStack(f"no stack runs with port base {base}; try {options}")
    last = f" (the last one: {status.message})" if status is not None and status.message else ""
    raise NoStack(f"no stack runs{last}; `r1 up` starts one")


def complain(command: str, error: Exception) -> int:
    """Print an error's sentence the way all commands do; return the exit status."""
    print(f"r1 {command}: {error}", file=sys.stderr)
    return 1
