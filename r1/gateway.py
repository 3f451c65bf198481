"""`r1 gateway --config F` runs a gateway; `r1 gateway check --config F` looks at one's settings."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=("run", "check"),
        default="run",
        help="run it (the default), or validate the configuration and print what it comes to",
    )
    parser.add_argument("--config", type=Path, default=Path("gateway.yaml"), metavar="F")


def run(arguments: argparse.Namespace) -> int:
    """Run or check."""
    # Imported here: the other commands start without the server.
    from gateway import main

    action = main.check if arguments.action == "check" else main.run
    return action(arguments.config)
