"""The command `r1`: one module a command, each with `add_arguments` and `run`."""

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "up": "start the whole stack on this machine",
    "down": "end it",
    "status": "show its parts",
    "logs": "show the logs of its parts",
    "top": "watch models, replicas and latencies live",
    "env": "print what an OpenAI client needs to use it",
    "chat": "ask a question and see the answer stream in",
    "models": "list the models it serves",
    "adapters": "list, load and unload LoRA adapters of a running model",
    "keys": "make, list, show, rotate and revoke API keys",
    "usage": "show what each key used of each model on each day",
    "weights": "fetch weights, check them, and list what this node keeps",
    "cache": "show what the answer cache holds, and empty it",
    "canary": "show whether replicas compute what they should, and record what that is",
    "gateway": "run a gateway, or check its configuration",
    "doctor": "check a machine or a cluster before anything is started there",
    "compare": "measure r1 beside other gateways and servers, in one run",
    "batch": "answer a file of requests, without a server",
    "bench": "put a load on a server, and hold its figures against its gates",
    "engine-args": "print what an engine is started with",
    "plan": "say what hardware a load needs and what its users will see",
}


def parser(command: str | None) -> argparse.ArgumentParser:
    """Return the parser; only the module of `command` is imported, so that `r1` starts fast."""
    top = argparse.ArgumentParser(
        prog="r1", description="Serve the DeepSeek-R1 family behind an OpenAI-compatible API."
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        one = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == command:
            module = importlib.import_module(f"r1.{name.replace('-', '_')}")
            module.add_arguments(one)
            one.set_defaults(run=module.run)
    return top


def renamed(words: Sequence[str]) -> list[str]:
    """A command line with a command's other name replaced: `bench compare` is `compare`."""
    return list(words[1:] if list(words[:2]) == ["bench", "compare"] else words)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    given = renamed(sys.argv[1:] if words is None else words)
    command = next((word for word in given if not word.startswith("-")), None)
    arguments = parser(command).parse_args(given, argparse.Namespace(words=given))
    try:
        status = arguments.run(arguments)
    except BrokenPipeError:
        # The reader (head, less) has what it wanted. Python would complain while closing stdout.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
    return int(status)
