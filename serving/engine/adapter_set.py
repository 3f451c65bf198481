"""The adapters that one replica has loaded, kept to those that it is to have.

What is wanted stands in one place for all replicas (`serving/wanted.py`). A replica looks there
before it is ready, every few seconds, and when it is told to; so one that starts later has the
same adapters, and nobody has to hand folders to an engine over HTTP.

A name stands for one set of weights as long as a replica lives: the engine's prefix cache and the
gateway's answer cache go by it.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from serving.engine.adapters import Adapter, read_adapter, wanted
from serving.errors import InvalidAdapter

INTERVAL_S = 5.0
RETRY_EVERY = 12
"""Looks after which one that failed is tried again: to read it may take a second."""

logger = logging.getLogger("ray.serve")


class Engine(Protocol):
    """What loads adapters."""

    async def load(self, adapter: Adapter) -> None:
        """Load one, or the same from another folder. Raises InvalidAdapter with its own words."""

    async def unload(self, name: str) -> None:
        """Take one out; requests that run keep it until they end."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a replica has, and what it could not load, with the reason."""

    loaded: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    most: int = 0

    def document(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {"loaded": list(self.loaded), "failed": dict(self.failed), "most": self.most}


class AdapterSet:
    """Loads and unloads until what is loaded is what is wanted."""

    def __init__(
        self,
        engine: Engine,
        declared: Mapping[str, str],
        most: int,
        said: Callable[[], Awaitable[Mapping[str, str]]],
        store_faults: tuple[type[Exception], ...] = (),
        tell: Callable[[tuple[str, ...]], None] = lambda names: None,
        grace_s: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            engine: what loads them.
            declared: folders by name that the deployment gives.
            most: adapters that the engine has room for.
            said: what was said at run time since.
            store_faults: what `said` raises when it can't be known; what was known stays.
            tell: is told the names that can be asked for, when they were looked after.
            grace_s: seconds in which all who were told have heard of it.
            sleep: waits for seconds.
        """
        self._engine = engine
        self._declared = dict(declared)
        self._most = most
        self._read_said = said
        self._store_faults = store_faults
        self._tell = tell
        self._grace_s = grace_s
        self._sleep = sleep
        self._said: Mapping[str, str] = {}
        self._loaded: dict[str, str] = {}
        """Folders by name, as they were given."""
        self._digests: dict[str, str] = {}
        """Of all that had a name here, loaded or not."""
        self._failed: dict[str, tuple[str, str]] = {}
        """Folder and reason by name."""
        self._turn = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the adapters that can be asked for now."""
        return tuple(sorted(self._loaded))

    @property
    def report(self) -> Report:
        """How it stands."""
        reasons = {name: reason for name, (_, reason) in self._failed.items()}
        return Report(self.names, reasons, self._most)

    async def sync(self, *, retry: bool = True) -> Report:
        """Make what is loaded what is wanted, as far as it can be; never raises for one adapter.

        Args:
            retry: try again what failed before; else only where the folder is another one.
        """
        async with self._turn:
            try:
                self._said = await self._read_said()
            except self._store_faults as error:
                logger.warning("what adapters are wanted can't be read: %s", error)
            folders = wanted(self._declared, self._said)
            await self._drop([each for each in self._loaded if each not in folders])
            before, self._failed = self._failed, {}
            for name, folder in folders.items():
                known = before.get(name)
                if known is not None and known[0] == folder and not retry:
                    self._failed[name] = known
                    continue
                try:
                    await self._have(name, folder)
                except InvalidAdapter as error:
                    self._failed[name] = folder, str(error)
                    if known != self._failed[name]:
                        logger.error("an adapter can't be loaded: %s", error)
            self._tell(self.names)
        return self.report

    async def keep(self) -> None:
        """Sync every few seconds until cancelled."""
        for count in itertools.count(1):
            await self._sleep(INTERVAL_S)
            await self.sync(retry=count % RETRY_EVERY == 0)

    async def _drop(self, names: Sequence[str]) -> None:
        for name in names:
            del self._loaded[name]
        if names:
            # Whoever heard of it in time asks no more for what the engine is about to forget.
            self._tell(self.names)
            await self._sleep(self._grace_s)
        for name in names:
            await self._engine.unload(name)
            logger.info("unloaded the adapter %s", name)

    async def _have(self, name: str, folder: str) -> None:
        if self._loaded.get(name) == folder:
            return
        if name not in self._loaded and len(self._loaded) >= self._most:
            raise InvalidAdapter(
                f"{name}: there is room for {self._most} adapters only; unload one or raise "
                "max_adapters"
            )
        adapter = await asyncio.to_thread(read_adapter, name, folder)
        if self._digests.setdefault(name, adapter.digest) != adapter.digest:
            raise InvalidAdapter(
                f"{name}: {folder} holds other weights than those that had this name here; answers "
                "that are kept go by the name, so give the new weights a new one"
            )
        await self._engine.load(adapter)
        self._loaded[name] = folder
        logger.info("loaded the adapter %s from %s", name, adapter.folder)
