"""`r1 cache stats|purge`: the answer cache of a running stack."""

import argparse
import json
from urllib.parse import urlencode

from r1.api import CallFailed, Endpoint, request
from r1.stack.find import NoStack, add_base_argument, complain, find


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    stats = actions.add_parser("stats", help="kept answers and requests, by model")
    stats.add_argument("--json", action="store_true", help="print everything as JSON")
    purge = actions.add_parser("purge", help="drop kept answers: all, or those chosen")
    purge.add_argument("--model", help="only this model's")
    purge.add_argument("--tenant", help="only this tenant's")


def run(arguments: argparse.Namespace) -> int:
    """Ask the gateway's admin port."""
    try:
        home, status = find(arguments.port_base)
        key = home.secret_file("admin.key").read_text().strip()
        admin = Endpoint(f"http://127.0.0.1:{status.ports['admin']}", key)
        if arguments.action == "purge":
            chosen = {"model": arguments.model, "tenant": arguments.tenant}
            query = urlencode({name: value for name, value in chosen.items() if value is not None})
            with request(admin, "DELETE", f"/admin/cache?{query}") as response:
                print(f"purged {json.load(response)['purged']}")
            return 0
        with request(admin, "GET", "/admin/cache") as response:
            rows = json.load(response)["data"]
    except (NoStack, CallFailed, OSError) as error:
        return complain("cache", error)
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        asked = ", ".join(f"{count} {result}" for result, count in row["requests"].items())
        print(f"{row['model']}  {row['entries']} kept, {row['bytes']} bytes  {asked}".rstrip())
    return 0
