"""`r1 models`: the models that a stack serves, with their aliases."""

import argparse
import json

from r1.api import CallFailed, Endpoint, request
from r1.stack.find import NoStack, complain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--port-base",
        type=int,
        metavar="N",
        help="which stack to ask; without it $OPENAI_BASE_URL and $OPENAI_API_KEY are used if set",
    )
    parser.add_argument("--json", action="store_true", help="print the API's answer as it is")


def run(arguments: argparse.Namespace) -> int:
    """Ask the API and print a line a model."""
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
