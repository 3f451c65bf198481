"""`r1 status`: the parts of a stack and what they are doing."""

import argparse
import json
from dataclasses import asdict

from r1.stack.find import NoStack, add_base_argument, complain, find
from r1.stack.home import Home
from r1.stack.status import StackStatus, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the status; return 0 if the stack is ready, 1 if it isn't (or there is none)."""
    try:
        _, status = find(arguments.port_base)
    except NoStack as error:
        last = load(Home.of(arguments.port_base))
        if arguments.json and last is not None:
            print(json.dumps({**asdict(last), "running": False}, indent=1))
        elif last is not None and last.state == "failed":
            print(table(last))
        return complain("status", error)
    if arguments.json:
        print(json.dumps({**asdict(status), "running": True}, indent=1))
    else:
        print(table(status))
    return 0 if status.state == "ready" else 1


def table(status: StackStatus) -> str:
    """Return the status as lines: the stack, then a line a part, then its addresses."""
    ports = status.ports
    head = f"{status.state}" + (f": {status.message}" if status.message else "")
    lines = [f"stack {status.base} is {head}"]
    width = max(len(name) for name in status.parts)
    for name, part in status.parts.items():
        facts = []
        if part.pid is not None and part.state not in ("stopped", "waiting"):
            facts.append(f"pid {part.pid}")
        if part.replicas:
            facts.append(f"replicas: {part.replicas}")
        if part.ready_after_s is not None:
            facts.append(f"ready after {part.ready_after_s} s")
        if part.restarts:
            facts.append(f"{part.restarts} restart(s)")
        if part.message:
            facts.append(part.message)
        if part.state == "failed":
            facts.append(f"log: {part.log}")
        lines.append(f"  {name:<{width}}  {part.state:<10}  {', '.join(facts)}".rstrip())
    lines.append(
        f"  API http://127.0.0.1:{ports['api']}/v1, admin http://127.0.0.1:{ports['admin']}, "
        f"Serve http://127.0.0.1:{ports['serve']}"
    )
    return "\n".join(lines)
