"""`r1 down`: end a running stack; running answers finish first."""

import argparse
import os
import signal
import sys
import time

from r1.stack.find import NoStack, add_base_argument, complain, find
from r1.stack.home import Home
from r1.stack.launch import Follower, sweep
from r1.stack.processes import is_running, start_time

POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument(
        "--now", action="store_true", help="don't wait for running answers to finish"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask the supervisor to end, and wait until its guard is gone too."""
    try:
        home, status = find(arguments.port_base)
    except NoStack as error:
        left = sweep(Home.of(arguments.port_base))
        if left:
            print(f"no supervisor runs; ended {left} processes that it had left")
            return 0
        return complain("down", error)
    follower = Follower(home.progress, sys.stdout.write)
    follower.skip()
    guard, began = status.guard_pid, start_time(status.guard_pid)
    os.kill(status.supervisor_pid, signal.SIGTERM)
    if arguments.now:
        os.kill(status.supervisor_pid, signal.SIGTERM)
    while status.is_alive() or (guard > 1 and is_running(guard, began)):
        follower.drain()
        time.sleep(POLL_S)
    follower.drain()
    left = sweep(home)
    if left:
        print(f"ended {left} processes that were left")
    return 0
