"""What `locust -f` is given: the users, their options, and the shape if one is asked for.

`locust -f loadtests/swarm/locustfile.py --help` lists the options under "r1".
"""

import os
import sys
import time
from typing import Any

import gevent
from locust import LoadTestShape, events
from locust.env import Environment

from loadtests.swarm.options import add_options
from loadtests.swarm.people import (
    Abusive,
    Batch,
    Chat,
    Classification,
    Disconnector,
    Hot,
    Reasoning,
    Replayer,
    Slow,
    Tools,
)
from loadtests.swarm.swarm import Swarm

__all__ = [
    "Abusive",
    "Batch",
    "Chat",
    "Classification",
    "Disconnector",
    "Hot",
    "Reasoning",
    "Replayer",
    "Slow",
    "Tools",
]


def begin(environment: Environment, **_: Any) -> None:
    """Check what was asked for before anybody is started."""
    # Timers count from the loop's last look at the clock: imports must not be a part of --run-time.
    gevent.get_hub().loop.update_now()
    try:
        Swarm(environment)
    except (ValueError, OSError) as error:
        sys.exit(f"locust: {error}")


hooks: Any = events
hooks.init_command_line_parser.add_listener(add_options)
hooks.init.add_listener(begin)

# Locust follows a shape wherever it finds one, and looks for it before it reads its options.
if "--shape" in " ".join(sys.argv) or os.environ.get("R1_LOAD_SHAPE"):

    class Asked(LoadTestShape):
        """Users as `--shape` has them, for `--seconds`."""

        def tick(self) -> tuple[int, float] | None:
            """How many there should be now, at once; None when it is over."""
            runner: Any = self.runner
            options = Swarm.of(runner.environment).options
            share = (time.perf_counter() - self.start_time) / options.seconds
            if share >= 1 or options.shape is None:
                return None
            users = round(options.shape.at(share))
            return users, float(max(users, 1))
