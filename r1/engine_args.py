"""`r1 engine-args`: what vLLM is started with for a model on a machine, and why."""

import argparse
import json
import os
import sys
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from serving.catalog import Catalog
from serving.engine.args import EngineArguments, engine_arguments
from serving.errors import ServingError, UnknownArgument
from serving.hardware import Machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", help="id or alias, for instance r1-nano or deepseek-r1:14b")
    add_engine_arguments(parser)
    parser.add_argument(
        "--profile", default="default", metavar="P", help="for instance latency (default: default)"
    )
    parser.add_argument("--weights", metavar="W", help="folder or hub id instead of the catalog's")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that derives an engine: `hardware`, `build`, `overrides`."""
    parser.add_argument(
        "--hardware",
        default="cpu",
        metavar="H",
        help="machine shape, for instance 8xh200, or a YAML file of your own (default: cpu)",
    )
    parser.add_argument(
        "--build", metavar="B", help="one of the model's builds; `r1 models --catalog` lists them"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="overrides",
        help="override an argument of vLLM; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    """Print the arguments; 0, or 2 with a sentence on stderr where they can't be derived."""
    try:
        found = engine_arguments(
            Catalog.load().resolve(args.model),
            Machine.load(args.hardware),
            args.profile,
            build=args.build,
            weights=args.weights,
            overrides=parse_overrides(args.overrides),
            environ=os.environ,
        )
    except ServingError as error:
        print(f"r1 engine-args: {error}", file=sys.stderr)
        return 2
    for each in found.warnings:
        print(f"r1 engine-args: warning ({each.rule}): {each.sentence}", file=sys.stderr)
    if args.json:
        print(json.dumps(as_document(found), indent=2))
    else:
        print_table(found)
    return 0


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`NAME=VALUE` pairs with the values read as YAML; dashes in a name count as underscores.

    Raises:
        UnknownArgument: a pair has no `=` or a value that is no YAML.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UnknownArgument(f"--set {pair}: write NAME=VALUE")
        try:
            found[name.strip().replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UnknownArgument(f"--set {pair}: the value can't be read: {error}") from error
    return found


def as_document(found: EngineArguments) -> dict[str, Any]:
    """The arguments as plain values for JSON."""
    return {
        "model": found.model.id,
        "hardware": found.machine.id,
        "profile": found.profile.name,
        "build": found.model.weights.id,
        "weights": found.source,
        "arguments": found.kwargs,
        "reasons": {each.name: each.why for each in found.arguments},
        "environment": dict(found.env),
        "argv": found.argv,
        "command": found.command,
        "warnings": {each.rule: each.sentence for each in found.warnings},
    }


def print_table(found: EngineArguments) -> None:
    """Print each argument with its reason, and the command of vLLM's own server."""
    console = Console(highlight=False)
    console.print(
        f"[bold]{found.model.id}[/] on [bold]{found.machine.id}[/] "
        f"({found.machine.title}), profile [bold]{found.profile.name}[/]: {found.profile.purpose}"
    )
    console.print(f"weights: {found.source} ({found.model.weights.id})", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for head in ("argument", "value", "why"):
        # Whole, however narrow the terminal: they are there to be copied.
        table.add_column(head, overflow="fold", no_wrap=head == "argument")
    for each in found.arguments:
        value = each.value if isinstance(each.value, str) else json.dumps(each.value)
        table.add_row(each.name, value, each.why)
    for name, setting in found.env.items():
        table.add_row(name, setting, "environment")
    console.print(table)
    console.print("\nvLLM's own server with the same:")
    # Plain print: the command must come out whole, not wrapped to the terminal's width.
    print(found.command)
