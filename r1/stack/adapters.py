"""Which LoRA adapters a stack begins with, from the words of its command line."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from r1.stack.plan import ServedModel
from r1.stack.redis_server import NoStore
from serving.catalog import Catalog
from serving.catalog.builds import PACKAGE
from serving.engine.adapters import Adapter, read_adapter, takes_adapters
from serving.registry import STORE_FAULTS, connect
from serving.wanted import WantedAdapters

SHIPPED = PACKAGE / "nano" / "weights"
ROOM = 8
"""Adapters that a model has room for where its stack has any."""


def find_adapter(word: str) -> Adapter:
    """The adapter that `NAME=FOLDER` gives, or that ships under `NAME`.

    Raises:
        InvalidAdapter: there is none, or the name can't be one.
    """
    name, equals, folder = word.partition("=")
    return read_adapter(name, folder if equals else SHIPPED / name)


def with_adapters(
    models: Sequence[ServedModel], adapters: Sequence[Adapter], room: int | None
) -> tuple[ServedModel, ...]:
    """Give each model the adapters that were trained on it, and room for others.

    Args:
        models: of the stack.
        adapters: to be served from the start.
        room: adapters that a model may have at once, those loaded later included; None is `ROOM`
            where there is an adapter and none elsewhere.

    Raises:
        ValueError: an adapter's base isn't among the models, a name is taken, or there are too
            many.
    """
    catalog = Catalog.load()
    if room is None:
        room = ROOM if adapters else 0
    able = [model for model in models if takes_adapters(catalog.resolve(model.id))]
    given: dict[str, dict[str, str]] = {model.id: {} for model in able}
    taken = {name.lower() for model in models for name in catalog.resolve(model.id).names}
    for adapter in adapters:
        if adapter.name in taken:
            raise ValueError(f"the name {adapter.name} is taken; give the adapter another one")
        taken.add(adapter.name)
        given[base_of(adapter, [model.id for model in able], catalog)][adapter.name] = str(
            adapter.folder
        )
    for model, its in given.items():
        if len(its) > room:
            raise ValueError(f"{model} has {len(its)} adapters; raise --max-adapters from {room}")
    return tuple(
        replace(model, adapters=given[model.id], max_adapters=room) if model in able else model
        for model in models
    )


def base_of(adapter: Adapter, models: Sequence[str], catalog: Catalog) -> str:
    """The one of these models that an adapter was trained on.

    It says so itself, by a name of the catalog or the hub. Where it names a folder, the only model
    that can have adapters is taken.

    Raises:
        ValueError: none of them is.
    """
    said = adapter.base.lower().rstrip("/")
    for model in catalog:
        names = {*(name.lower() for name in model.names), (model.weights.hub or "").lower()}
        if said in names or Path(said).name == model.id:
            if model.id in models:
                return model.id
            raise ValueError(f"{adapter.name} belongs to {model.id}, which isn't served here")
    if len(models) == 1:
        return models[0]
    raise ValueError(
        f"{adapter.name} says that its base is {adapter.base!r}, which is no model's name; put the "
        "model's id as base_model_name_or_path into its adapter_config.json"
    )


def forget_adapters(url: str, models: Sequence[str]) -> None:
    """Forget what was said of these models' adapters at run time.

    Raises:
        NoStore: the store at the URL doesn't answer.
    """

    async def forget() -> None:
        redis: Any = connect(url)
        try:
            for model in models:
                await WantedAdapters(redis, model).clear()
        finally:
            await redis.aclose()

    try:
        asyncio.run(forget())
    except STORE_FAULTS as error:
        raise NoStore(f"the store doesn't answer: {error}") from error
