"""`r1 canary show|record`: what replicas compute, compared with the record."""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1.api import CallFailed, Endpoint, request
from r1.stack.find import NoStack, add_base_argument, complain, find

_LOOK_S = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument(
        "--url", metavar="URL", help="admin port of a gateway that no `r1 up` started"
    )
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="its admin key; with --url, and instead of $R1_ADMIN_KEY",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shown = actions.add_parser("show", help="how each replica stands")
    shown.add_argument("--json", action="store_true", help="print everything as JSON")
    record = actions.add_parser(
        "record", help="take what the replicas compute now for right; they have to agree"
    )
    record.add_argument("model", metavar="MODEL")
    record.add_argument(
        "--timeout", type=float, default=120.0, metavar="S", help="seconds to wait (120)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask the gateway's admin port; 1 if a replica is ejected, or nothing was recorded."""
    try:
        admin = endpoint(arguments)
        if arguments.action == "record":
            return record(admin, arguments.model, arguments.timeout, time.monotonic, time.sleep)
        rows = look(admin)
    except (NoStack, CallFailed, OSError, ValueError) as error:
        return complain("canary", error)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        print(table(rows))
    return 1 if any(each["ejected"] for row in rows for each in row["replicas"].values()) else 0


def endpoint(arguments: argparse.Namespace) -> Endpoint:
    """The admin port that is meant, and its key.

    Raises:
        NoStack: none was named, and no stack runs here.
        ValueError: an address without a key.
        OSError: the key's file can't be read.
    """
    if arguments.url is None:
        home, status = find(arguments.port_base)
        key = home.secret_file("admin.key").read_text().strip()
        return Endpoint(f"http://127.0.0.1:{status.ports['admin']}", key)
    if arguments.key_file is not None:
        return Endpoint(arguments.url.rstrip("/"), arguments.key_file.read_text().strip())
    given = os.environ.get("R1_ADMIN_KEY")
    if given is None:
        raise ValueError("--url goes with --key-file, or R1_ADMIN_KEY in the environment")
    return Endpoint(arguments.url.rstrip("/"), given)


def look(admin: Endpoint) -> list[dict[str, Any]]:
    """The last round of each model. Raises CallFailed."""
    with request(admin, "GET", "/admin/canary") as response:
        rows: list[dict[str, Any]] = json.load(response)["data"]
        return rows


def record(
    admin: Endpoint,
    model: str,
    timeout_s: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> int:
    """Have it recorded, and wait until that is done. Raises CallFailed."""
    with request(admin, "POST", f"/admin/canary/{model}") as response:
        wish = json.load(response)["wish"]
    until = now() + timeout_s
    while now() < until:
        (row,) = (each for each in look(admin) if each["model"] == model)
        if row["wish"] == wish:
            if row["refused"] is not None:
                raise CallFailed(f"{model}: nothing was recorded: {row['refused']}")
            print(table([row]))
            return 0
        sleep(_LOOK_S)
    raise CallFailed(f"{model}: no round came within {timeout_s:g} s; is a gateway running?")


def table(rows: list[dict[str, Any]]) -> str:
    """Return a line a model and one a replica."""
    lines = []
    for row in rows:
        records = ", ".join(row["records"]) or "none: replicas are compared with each other"
        lines.append(f"{row['model']}  records: {records}")
        for url, each in sorted(row["replicas"].items()):
            drift = "" if each["drift"] is None else f"drift {each['drift']:.6f} nats"
            state = "EJECTED" if each["ejected"] else ""
            facts = (each["finding"], drift, state, each["fault"] or "")
            lines.append(f"  {each['name']}  {url}  {', '.join(filter(None, facts))}")
    return "\n".join(lines)
