"""`r1 models`: the models that a stack serves, those of the catalog, and machines for them."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from r1 import listing
from r1.api import CallFailed, Endpoint, request
from r1.stack.find import NoStack, complain
from serving.catalog import Catalog
from serving.errors import UnknownModel
from serving.hardware import Machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--port-base",
        type=int,
        metavar="N",
        help="which stack to ask; without it $OPENAI_BASE_URL and $OPENAI_API_KEY are used if set",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--catalog",
        nargs="?",
        const="",
        metavar="MODEL",
        help="list the builds of one model, or of all that r1 knows, without asking a stack",
    )
    choice.add_argument(
        "--hardware", action="store_true", help="list the machine shapes that r1 knows"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with all that is known")


def run(arguments: argparse.Namespace) -> int:
    """Ask the API and print a line a model, or print what r1 itself knows."""
    if arguments.hardware:
        shapes = listing.machines(Machine.ids())
        return _show(shapes, listing.print_machines, as_json=arguments.json)
    if arguments.catalog is not None:
        return _catalog(arguments.catalog, as_json=arguments.json)
    try:
        with request(Endpoint.choose(arguments.port_base), "GET", "/models") as response:
            answer = json.loads(response.read())
    except (NoStack, CallFailed) as error:
        return complain("models", error)
    if arguments.json:
        print(json.dumps(answer, indent=1, ensure_ascii=False))
        return 0
    for model in answer["data"]:
        aliases = ", ".join(model.get("aliases", []))
        print(model["id"] + (f"  (also {aliases})" if aliases else ""))
    return 0


def _catalog(model: str, *, as_json: bool) -> int:
    catalog = Catalog.load()
    try:
        chosen = Catalog((catalog.resolve(model),)) if model else catalog
    except UnknownModel as error:
        return complain("models", error)
    return _show(listing.builds(chosen), listing.print_builds, as_json=as_json)


def _show(
    rows: list[dict[str, Any]],
    table: Callable[[list[dict[str, Any]]], None],
    *,
    as_json: bool,
) -> int:
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        table(rows)
    return 0
