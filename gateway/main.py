"""The gateway's entry points: run it, or check its configuration."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
import yaml

from gateway.config import ConfigError, masked, remarks
from gateway.reload import read
from gateway.server import PortTaken
from gateway.supervisor import Supervisor

_EXIT_CONFIG = 2
_EXIT_PORT = 3


def run(config: Path) -> int:
    """Run the gateway until SIGTERM or SIGINT; the exit status.

    0 after a stop, 2 when the configuration is wrong, 3 when a port is taken: then one sentence
    about it is on standard error.
    """
    try:
        return uvloop.run(_supervise(config))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return _EXIT_CONFIG
    except PortTaken as error:
        sys.stderr.write(f"{error}\n")
        return _EXIT_PORT


def check(config: Path) -> int:
    """Print the effective configuration as YAML, secrets masked; the exit status (0 or 2).

    On standard error a sentence for each thing that is allowed but hardly meant.
    """
    try:
        settings = read(config, os.environ).settings
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return _EXIT_CONFIG
    for remark in remarks(settings):
        sys.stderr.write(f"{remark}\n")
    sys.stdout.write(yaml.safe_dump(masked(settings), sort_keys=False, allow_unicode=True))
    return 0


def main(arguments: Sequence[str]) -> int:
    """`python -m gateway [check] [--config FILE]`; the exit status."""
    parser = argparse.ArgumentParser(prog="gateway", description="The gateway of r1.")
    parser.add_argument("command", nargs="?", choices=("run", "check"), default="run")
    parser.add_argument("--config", type=Path, default=Path("gateway.yaml"))
    given = parser.parse_args(arguments)
    return check(given.config) if given.command == "check" else run(given.config)


async def _supervise(config: Path) -> int:
    return await Supervisor(lambda: read(config, os.environ)).run()
