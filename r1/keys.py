"""`r1 keys create|list|show|rotate|revoke|export|import`: API keys of a running stack."""

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from gateway.auth.manage import (
    create_key,
    export_keys,
    import_keys,
    list_keys,
    revoke_key,
    rotate_key,
    show_key,
)
from gateway.auth.register import CreatedKey, KeyState
from gateway.auth.terms import Terms
from gateway.auth.transfer import Result, WrongLines
from gateway.config import ConfigError, fault_lines, load
from gateway.store.redis import StoreDown
from r1.stack.find import NoStack, add_base_argument, complain, find
from r1.stack.redis_server import redis_url

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Options of `create` that are numbers: the field's name, and what it is.
_NUMBERS = {
    "rpm": "requests in a minute",
    "tpm": "tokens in a minute",
    "parallel": "requests at the same time",
    "usd_per_day": "money budget in USD",
    "usd_per_month": "money budget in USD",
    "reasoning_tokens_per_day": "budget of reasoning tokens",
    "reasoning_tokens_per_month": "budget of reasoning tokens",
}


class NoKey(RuntimeError):
    """No key has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"no key has the id {key_id}; `r1 keys list` shows those that there are")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a gateway's configuration: its keys, instead of the local stack's",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument("--tenant", default="default", help="whose it is (default: %(default)s)")
    create.add_argument("--models", nargs="+", metavar="MODEL", help="only these models")
    create.add_argument("--scopes", nargs="+", metavar="SCOPE", help="inference, batch, admin")
    for field, what in _NUMBERS.items():
        create.add_argument("--" + field.replace("_", "-"), metavar="N", help=what)
    create.add_argument("--expires", metavar="TIME", help="2027-01-31 or 2027-01-31T12:00:00Z")
    create.add_argument("--priority", help="high, normal or low: its place where requests wait")
    actions.add_parser("list", help="list the keys, without their secret part")
    show = actions.add_parser("show", help="show one key's terms and last use")
    rotate = actions.add_parser("rotate", help="give a key another text; it is shown once")
    rotate.add_argument(
        "--overlap",
        type=seconds,
        default="24h",
        metavar="TIME",
        help="how long the text before still works: 90s, 30m, 24h, 7d, 0s (default: %(default)s)",
    )
    revoke = actions.add_parser("revoke", help="end a key")
    actions.add_parser("export", help="print all keys as lines of JSON: hashes, no secret part")
    take = actions.add_parser("import", help="put exported keys back, for instance after a flush")
    take.add_argument("file", help="what `r1 keys export` printed; - for standard input")
    take.add_argument(
        "--overwrite", action="store_true", help="replace keys that the store has otherwise"
    )
    for each in (show, rotate, revoke):
        each.add_argument("id", help="the id that `r1 keys list` shows")


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked in the stack's store."""
    try:
        act(arguments, *store_of(arguments))
    except ValidationError as error:
        return complain("keys", ConfigError("; ".join(fault_lines(error.errors()))))
    except (NoStack, NoKey, StoreDown, ConfigError, WrongLines, OSError) as error:
        return complain("keys", error)
    return 0


def store_of(arguments: argparse.Namespace) -> tuple[str, Path]:
    """Return the URL of the store and the pepper's file. Raises NoStack or ConfigError."""
    if arguments.config is not None:
        settings = load(arguments.config, os.environ)
        return settings.store.url, settings.auth.pepper_file
    home, status = find(arguments.port_base)
    password = home.secret_file("store.password").read_text()
    return redis_url(status.ports["store"], password), home.secret_file("pepper")


def act(arguments: argparse.Namespace, url: str, pepper: Path) -> None:
    """Do it in the store at `url`.

    Raises:
        ValidationError: a term of a new key is wrong.
        NoKey: no key has this id.
        StoreDown: the store doesn't answer.
        ConfigError: the pepper can't be read.
        WrongLines: what is to be imported is not what was exported.
        OSError: it can't be read.
    """
    if arguments.action == "create":
        options = {field: getattr(arguments, field) for field in Terms.model_fields}
        terms = {field: value for field, value in options.items() if value is not None}
        print_new(create_key(url, pepper, name=arguments.name, tenant=arguments.tenant, **terms))
    elif arguments.action == "list":
        for state in list_keys(url, pepper):
            print(line(state))
    elif arguments.action == "show":
        states = show_key(url, pepper, arguments.id)
        if not states:
            raise NoKey(arguments.id)
        print_key(states)
    elif arguments.action == "rotate":
        rotated = rotate_key(url, pepper, arguments.id, overlap_s=arguments.overlap)
        if rotated is None:
            raise NoKey(arguments.id)
        print_new(rotated)
    elif arguments.action == "export":
        for each in export_keys(url, pepper):
            print(each)
    elif arguments.action == "import":
        # Not splitlines(): a name may hold what Unicode takes for the end of a line.
        lines = read(arguments.file).split("\n")
        print_results(import_keys(url, pepper, lines, overwrite=arguments.overwrite))
    else:
        if not revoke_key(url, pepper, arguments.id):
            raise NoKey(arguments.id)
        print(f"revoked {arguments.id}")


def read(file: str) -> str:
    """Return the text of a file, or of standard input for -. Raises OSError."""
    return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")


def seconds(text: str) -> float:
    """Return a time such as 90s, 30m, 24h or 7d in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 30m, 24h or 7d")
    return float(match[1]) * _UNITS_S[match[2]]


def line(state: KeyState) -> str:
    """Return a key in one line, without its secret part."""
    key = state.record
    last = f"used {moment(state.used)}" if state.used else "never used"
    return f"{key.id}  {key.hint}  {moment(key.created)}  {last}  {key.tenant}  {key.name}"


def print_new(created: CreatedKey) -> None:
    """Print a key's text, alone on its line."""
    print(f"{created.key}\n(id {created.record.id}; the key is shown this once)")


def print_results(results: Sequence[Result]) -> None:
    """Print why keys were left alone, and how many of each there are."""
    why = {
        "differs": "the store has it otherwise: --overwrite takes this one",
        "taken": "another key in the store has its text: revoke that one first",
        "ended": "its time is over",
    }
    for each in results:
        if each.outcome in why:
            key = each.key
            print(f"left alone {key.id}  {key.tenant}  {key.name}: {why[each.outcome]}")
    outcomes = [each.outcome for each in results]
    restored, unchanged = outcomes.count("restored"), outcomes.count("unchanged")
    print(
        f"restored {restored}, there already {unchanged}, "
        f"left alone {len(outcomes) - restored - unchanged}"
    )


def print_key(states: Sequence[KeyState]) -> None:
    """Print all fields that are set, and the texts that are on their way out."""
    for field, value in states[0].record.public().items():
        if value in (None, []):
            continue
        if field in ("created", "expires"):
            value = moment(value)
        print(f"{field:<27}{' '.join(value) if isinstance(value, list) else value}")
    print(f"{'last used':<27}{moment(states[0].used) if states[0].used else 'never'}")
    for state in states[1:]:
        print(f"{'works until ' + moment(state.record.retires or 0):<27}{state.record.hint}")


def moment(when: int) -> str:
    """Return a time in this machine's zone."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
