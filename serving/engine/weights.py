"""Getting the weights onto the nodes of a replica before its engine starts: Ray LLM's callback."""

import asyncio
import importlib.util
import logging
import os
import time
from typing import Any

import psutil
import ray
from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from serving.engine.cold_start import ColdStart, budget, parts
from serving.telemetry.notes import Note, Notes
from serving.weights.cache import NodeCache
from serving.weights.loader import load_format
from serving.weights.node import fetch_here
from serving.weights.progress import Progress
from serving.weights.source import Folder, cache_key, parse

SAY_EVERY_S = 10.0


class NodeWeights(CallbackBase):  # type: ignore[misc]
    """Fetches, checks and names the folder that the engine loads, in place of Ray's own download.

    Ray's pays for one more worker process that imports the engine, and checks nothing.
    """

    def __init__(self, *, source: str, weight_bytes: int, gpu: bool, **others: Any) -> None:
        """Args: `source` as `serving.weights.source` has it; `weight_bytes` as far as known."""
        super().__init__(**others)
        self._source = source
        self._gpu = gpu
        self._log = logging.getLogger("ray.serve")
        self._notes = Notes.of()
        self._said = -SAY_EVERY_S
        self._held: int | None = None
        where = parse(source)
        if isinstance(where, Folder):
            cached = True
        else:
            cache = NodeCache.of()
            self._held = cache.hold(cache_key(where))
            cached = cache.folder(cache_key(where)).is_dir()
        allowed = budget(where, weight_bytes, gpu=gpu, cached=cached)
        self.start = ColdStart(self.llm_config.model_id, allowed)

    async def on_before_node_init(self) -> None:
        """Have the weights on every node of this replica, and tell Ray to download nothing.

        Raises:
            WeightsError: they can't be had, or are damaged.
        """
        # The process was made for this replica: its environment is this application's own.
        self.start.add("process", time.time() - psutil.Process().create_time())
        self._log.info("%s starts; budget %s", self.start.model, parts(self.start.allowed))
        others = self._fetch_elsewhere()
        here, *_ = await asyncio.gather(fetch_here(self._source, self._tell), *others)
        self.start.add("fetch", here.fetch_s)
        self.start.add("verify", here.verify_s)
        self._notes.write(Note(self.start.model))
        self._choose_loader()
        self.llm_config.get_engine_config().hf_model_id = str(here.folder)
        self.ctx.run_init_node = False

    def _fetch_elsewhere(self) -> list[Any]:
        """Start the same on the other nodes that the engine's ranks are placed on."""
        group = self.ctx.placement_group
        nodes = set(ray.util.placement_group_table(group)["bundles_to_node_id"].values())
        nodes.discard(ray.get_runtime_context().get_node_id())
        task = ray.remote(_fetch_in_task)
        return [
            task.options(
                num_cpus=0,
                runtime_env=self.ctx.runtime_env,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False),
            ).remote(self._source)
            for node in nodes
        ]

    def _tell(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._said >= SAY_EVERY_S:
            self._said = now
            self._notes.write(Note(self.start.model, progress.sentence()))
            self._log.info("%s: %s", self.start.model, progress.sentence())

    def _choose_loader(self) -> None:
        kwargs = self.llm_config.engine_kwargs
        if "load_format" in kwargs:
            return
        chosen = load_format(
            lambda module: importlib.util.find_spec(module) is not None,
            gpu=self._gpu,
            expert_parallel=bool(kwargs.get("enable_expert_parallel")),
        )
        if chosen is not None:
            self.llm_config.update_engine_kwargs(load_format=chosen[0])
            self._log.info("%s: load_format %s, because %s", self.start.model, *chosen)


def _fetch_in_task(source: str) -> None:
    def tell(progress: Progress) -> None:
        logging.getLogger("ray.serve").info("%s on node %s", progress.sentence(), os.uname()[1])

    asyncio.run(fetch_here(source, tell))
