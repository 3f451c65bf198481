"""`r1 usage`: what each key used of each model on each day, in tokens and money."""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from gateway.limits.manage import read_usage
from gateway.limits.usage import UsageRow, as_csv
from gateway.store.redis import StoreDown
from r1.stack.find import NoStack, add_base_argument, complain, find
from r1.stack.redis_server import redis_url


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DAY")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, metavar="DAY")
    parser.add_argument("--key", metavar="ID", help="of this key only")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    """Print the usage of the last 30 days (UTC), or of those asked for."""
    last = arguments.last or datetime.now(UTC).date()
    first = arguments.first or last - timedelta(days=29)
    try:
        home, status = find(arguments.port_base)
        url = redis_url(status.ports["store"], home.secret_file("store.password").read_text())
        print(written(read_usage(url, first, last, arguments.key), arguments.format), end="")
    except ValueError as error:
        return complain("usage", ValueError(f"--from and --to {error}"))
    except (NoStack, StoreDown) as error:
        return complain("usage", error)
    return 0


def written(rows: Sequence[UsageRow], form: str) -> str:
    """Return the rows as CSV, JSON or a table to read."""
    if form == "csv":
        return as_csv(rows)
    if form == "json":
        return json.dumps([row.public() for row in rows], indent=2) + "\n"
    if not rows:
        return "no usage in these days\n"
    cells = [[str(value) for value in row.public().values()] for row in rows]
    cells.insert(0, [name.removesuffix("_tokens") for name in rows[0].public()])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        texts = [cell.ljust(width) for cell, width in zip(row[:4], widths[:4], strict=True)]
        texts += [cell.rjust(width) for cell, width in zip(row[4:], widths[4:], strict=True)]
        lines.append("  ".join(texts).rstrip() + "\n")
    return "".join(lines)
