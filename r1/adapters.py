"""`r1 adapters list|load|unload`: the LoRA adapters of a model that runs."""

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.store.once import NoWatcher
from gateway.store.redis import Store, StoreDown
from gateway.upstream.registry import read_replicas
from r1.api import CallFailed, Endpoint, request
from r1.stack.adapters import base_of, find_adapter
from r1.stack.find import NoStack, add_base_argument, complain, find
from r1.stack.plan import StackPlan
from r1.stack.redis_server import redis_url
from serving.catalog import Catalog
from serving.engine.adapters import check_name
from serving.errors import ServingError
from serving.registry import STORE_FAULTS, URL_VARIABLE, connect
from serving.wanted import WantedAdapters

STORE_TIMEOUT_S = 5.0
FAULTS = (NoStack, CallFailed, ServingError, StoreDown, ValueError, OSError, *STORE_FAULTS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument(
        "--registry-url",
        default=os.environ.get(URL_VARIABLE),
        metavar="URL",
        help=f"Redis of a deployment that no `r1 up` started, or ${URL_VARIABLE}; with "
        "--engine-key-file and --model",
    )
    parser.add_argument("--engine-key-file", type=Path, metavar="FILE")
    parser.add_argument("--model", metavar="ID", help="the base; not needed where only one can be")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shown = actions.add_parser("list", help="what each replica has loaded")
    shown.add_argument("--json", action="store_true", help="print everything as JSON")
    load = actions.add_parser("load", help="serve one more, as a model of its own")
    load.add_argument(
        "adapter",
        metavar="NAME[=DIR]",
        help="DIR as every replica sees it; one that ships has none",
    )
    unload = actions.add_parser("unload", help="serve it no more")
    unload.add_argument("adapter", metavar="NAME")


@dataclass(frozen=True)
class Place:
    """Where a model's replicas are told what to have."""

    store_url: str
    engine_key: str
    model: str


@dataclass(frozen=True)
class Answer:
    """What one replica said, or why it said nothing."""

    replica: str
    loaded: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    silence: str = ""

    def has(self, name: str) -> bool:
        """Whether an adapter can be asked for there."""
        return name in self.loaded

    def lacks(self, name: str) -> bool:
        """Whether it has not loaded what it should have, or still has what it had before."""
        return not self.has(name) or name in self.failed


def run(arguments: argparse.Namespace) -> int:
    """Do it at every replica; 0 if all of them did it, 1 if any did not."""
    actions = {"list": show, "load": load, "unload": unload}
    try:
        return asyncio.run(actions[arguments.action](arguments))
    except FAULTS as error:
        return complain("adapters", error)


async def show(arguments: argparse.Namespace) -> int:
    """Print what each replica has."""
    place = find_place(arguments)
    answers = await ask(place, "GET")
    if arguments.json:
        print(json.dumps([vars(each) for each in answers], indent=1))
    else:
        print(f"{place.model}: {len(answers)} replica(s)")
        for each in answers:
            print(f"  {each.replica}  {each.silence or ', '.join(each.loaded) or 'none'}")
            for reason in each.failed.values():
                print(f"    can't load {reason}")
    return 1 if any(each.silence or each.failed for each in answers) else 0


async def load(arguments: argparse.Namespace) -> int:
    """Say that an adapter is wanted, and see who has it."""
    place = find_place(arguments)
    name, folder = the_adapter(arguments)
    async with wanted_of(place) as wanted:
        before = (await wanted.read()).get(name)
        await wanted.load(name, folder)
        answers = await ask(place, "POST")
        missing = [each for each in answers if each.lacks(name)]
        for each in missing:
            print(f"{each.replica}: {each.silence or each.failed.get(name, 'has it not yet')}")
        if answers and len(missing) == len(answers) and not any(each.silence for each in answers):
            # All of them say that it can't be: later replicas needn't try.
            await (wanted.forget(name) if before is None else wanted.load(name, before))
            print(f"{name} can't be loaded anywhere; nothing has changed")
            return 1
    return conclude(f"{name} is loaded", f"{name} will be loaded", answers, missing)


async def unload(arguments: argparse.Namespace) -> int:
    """Say that an adapter is not wanted, and see who has it still."""
    place = find_place(arguments)
    name: str = arguments.adapter
    check_name(name)
    async with wanted_of(place) as wanted:
        known = name in await wanted.read()
        if not known and not any(each.has(name) for each in await ask(place, "GET")):
            raise ValueError(
                f"no replica of {place.model} has {name}; `r1 adapters list` shows all"
            )
        await wanted.unload(name)
        answers = await ask(place, "POST")
    keep = [each for each in answers if each.silence or each.has(name)]
    for each in keep:
        print(f"{each.replica}: {each.silence or 'has it still'}")
    return conclude(f"{name} is unloaded", f"{name} will not be loaded", answers, keep)


def conclude(done: str, to_come: str, answers: list[Answer], failing: list[Answer]) -> int:
    """Print how it ended at all replicas together; return the exit status."""
    if not answers:
        print(f"{to_come} by replicas that start; there is none now")
        return 0
    if failing:
        count = len(answers) - len(failing)
        print(f"{done} at {count} of {len(answers)} replicas; the others try again by themselves")
        return 1
    print(f"{done} at all {len(answers)} replica(s)")
    return 0


def the_adapter(arguments: argparse.Namespace) -> tuple[str, str]:
    """Name and folder. On this machine the folder is looked at first.

    Raises:
        ServingError: it is no adapter's.
        ValueError: the name is a model's, or there is no folder.
    """
    name, _, folder = arguments.adapter.partition("=")
    check_name(name)
    if any(name == known.lower() for model in Catalog.load() for known in model.names):
        raise ValueError(f"the name {name} is a model's; give the adapter another one")
    if arguments.registry_url is None:
        return name, str(find_adapter(arguments.adapter).folder)
    if not folder:
        raise ValueError(f"{name}: give NAME=DIR, with the folder as every replica sees it")
    return name, folder


def find_place(arguments: argparse.Namespace) -> Place:
    """Where to ask, from the command line or the stack that runs here.

    Raises:
        NoStack: no stack runs here.
        ValueError: something is missing on the command line, or the model has no adapters.
        OSError: the key's file can't be read.
    """
    if arguments.registry_url is not None:
        if arguments.model is None or arguments.engine_key_file is None:
            raise ValueError("--registry-url goes with --model and --engine-key-file")
        key = arguments.engine_key_file.read_text().strip()
        return Place(arguments.registry_url, key, Catalog.load().resolve(arguments.model).id)
    home, status = find(arguments.port_base)
    password = home.secret_file("store.password").read_text()
    able = [each.id for each in StackPlan.load(home).models if each.max_adapters]
    return Place(
        redis_url(status.ports["store"], password),
        home.secret_file("engine.key").read_text(),
        choose(arguments, able),
    )


def choose(arguments: argparse.Namespace, able: list[str]) -> str:
    """The model that is meant, of those that have room for adapters.

    Raises:
        ValueError: none can be meant.
    """
    if not able:
        raise ValueError("no model here has room for adapters; start it with --max-adapters N")
    catalog = Catalog.load()
    if arguments.model is not None:
        model = catalog.resolve(arguments.model).id
        if model not in able:
            raise ValueError(f"{model} has no room for adapters; {' and '.join(able)} has")
        return model
    if len(able) > 1 and arguments.action == "load":
        return base_of(find_adapter(arguments.adapter), able, catalog)
    if len(able) > 1:
        raise ValueError(f"say which model is meant: --model {' or '.join(able)}")
    return able[0]


@asynccontextmanager
async def wanted_of(place: Place) -> AsyncIterator[WantedAdapters]:
    """What is wanted of a model, over a connection that is closed at the end."""
    redis: Any = connect(place.store_url)
    try:
        yield WantedAdapters(redis, place.model)
    finally:
        await redis.aclose()


async def ask(place: Place, method: str) -> list[Answer]:
    """What every registered replica says. Raises StoreDown."""
    store = Store(place.store_url, timeout_s=STORE_TIMEOUT_S, watcher=NoWatcher())
    try:
        replicas = await read_replicas(store, place.model)
    finally:
        await store.close()
    asked: list[Awaitable[Answer]] = [
        asyncio.to_thread(ask_one, each.url, place.engine_key, method) for each in replicas
    ]
    return sorted(await asyncio.gather(*asked), key=lambda each: each.replica)


def ask_one(url: str, key: str, method: str) -> Answer:
    """What the replica at a URL says."""
    try:
        with request(Endpoint(url, key), method, "/v1/adapters") as response:
            said = json.load(response)
    except CallFailed as error:
        return Answer(url, silence=str(error))
    return Answer(url, tuple(said["loaded"]), said["failed"])
