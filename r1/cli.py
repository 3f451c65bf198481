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
    "env": "print what an OpenAI client needs to use it",
    "chat": "ask a question and see the answer stream in",
    "models": "list the models it serves",
    "keys": "make, list, show, rotate and revoke API keys",
    "usage": "show what each key used of each model on each day",
    "cache": "show what the answer cache holds, and empty it",
    "gateway": "run a gateway, or check its configuration",
    "engine-args": "print what an engine is started with",
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


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    given = list(sys.argv[1:] if words is None else words)
    command = next((word for word in given if not word.startswith("-")), None)
    arguments = parser(command).parse_args(given)
    try:
        status = arguments.run(arguments)
    except BrokenPipeError:
        # The reader (head, less) has what it wanted. Python would complain while closing stdout.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
    return int(status)
