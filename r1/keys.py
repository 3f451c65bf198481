"""`r1 keys create|list|revoke`: API keys of a running stack."""

import argparse
import time

from gateway.auth.manage import create_key, list_keys, revoke_key
from gateway.config import ConfigError
from gateway.store.redis import StoreDown
from r1.stack.find import NoStack, add_base_argument, complain, find
from r1.stack.redis_server import redis_url


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument("--tenant", default="default", help="whose it is (default: %(default)s)")
    actions.add_parser("list", help="list the keys, without their secret part")
    revoke = actions.add_parser("revoke", help="end a key")
    revoke.add_argument("id", help="the id that `r1 keys list` shows")


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked in the stack's store."""
    try:
        home, status = find(arguments.port_base)
        url = redis_url(status.ports["store"], home.secret_file("store.password").read_text())
        pepper = home.secret_file("pepper")
        if arguments.action == "create":
            made = create_key(url, pepper, name=arguments.name, tenant=arguments.tenant)
            print(f"{made.key}\n(id {made.record.id}; the key is shown this once)")
        elif arguments.action == "list":
            for key in list_keys(url, pepper):
                day = time.strftime("%Y-%m-%d %H:%M", time.localtime(key.created))
                print(f"{key.id}  {key.hint}  {day}  {key.tenant}  {key.name}")
        elif not revoke_key(url, pepper, arguments.id):
            return complain("keys", NoStack(f"no key has the id {arguments.id}"))
        else:
            print(f"revoked {arguments.id}")
    except (NoStack, StoreDown, ConfigError) as error:
        return complain("keys", error)
    return 0
