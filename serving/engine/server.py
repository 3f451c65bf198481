"""The replica: Ray Serve LLM's server, ready only after the warm-up.

Ray Serve starts a replica's HTTP server after the application is built, and HAProxy sends it
nothing before. So a warm-up inside the building hook is a warm-up before readiness. From then on
the replica's life is told to the gateways, to the autoscaler and to health checks (`life.py`).
"""

import logging
import os
from collections.abc import Iterable
from typing import Any

from ray.llm._internal.serve.core.server.llm_server import LLMServer
from ray.llm._internal.serve.serving_patterns.data_parallel.dp_server import DPServer

from serving.engine import vllm_adapters
from serving.engine.life import Life
from serving.engine.scaling import most_replicas
from serving.engine.start import time_engine
from serving.engine.traffic import Counted
from serving.engine.warmup import ASGIApp, warm_up, warm_up_steps
from serving.telemetry.notes import Note, Notes

# A first compilation on a slow machine takes minutes; an engine that hangs must not wait for ever.
WARM_UP_TIMEOUT_S = 900.0


class WarmedUp(LLMServer):  # type: ignore[misc]
    """LLMServer whose application is built, warmed up and only then handed to Ray Serve."""

    _life: Life | None = None

    def _get_default_engine_class(self) -> type[Any]:
        # Imported in the replica only: it brings the engine in.
        from serving.engine.cpu_engine import CpuEngine

        return CpuEngine

    async def _start_engine(self) -> None:
        # Ray's own version also starts an actor that reports the model to Ray's usage
        # statistics: 400 MB and ten seconds of a core for something that is switched off.
        await time_engine(self._llm_config.get_or_create_callback().start, self.engine)

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Build vLLM's application and warm the engine up through it.

        Raises:
            WarmUpError: the engine didn't answer; Ray Serve then starts the replica anew.
            InvalidAdapter: an adapter that the deployment declares can't be loaded.
        """
        app = await super().__serve_build_asgi_app__()
        model = self._llm_config.model_id
        max_num_seqs = int(self._llm_config.engine_kwargs.get("max_num_seqs", 1))
        seconds = await warm_up(
            app,
            model=model,
            steps=warm_up_steps(max_num_seqs),
            api_key=os.environ.get("VLLM_API_KEY"),
            timeout_s=WARM_UP_TIMEOUT_S,
        )
        # Ray adds its exception handlers after this hook; Starlette takes them in when it
        # builds the stack, which the warm-up has already made it do once.
        app.middleware_stack = None
        self._took("warm_up", seconds)
        self._life = Life(
            self._llm_config,
            self.engine._engine_client,
            lambda seconds: self._took("register", seconds),
        )
        app.add_middleware(Counted, traffic=self._life.traffic)
        self._adapting = await vllm_adapters.begin(app, self._llm_config, self.set_adapters)
        self._life.begin()
        return app  # type: ignore[no-any-return]

    def _took(self, phase: str, seconds: float) -> None:
        """Tell a phase at the end of the start: to the node's telemetry, and to the log."""
        start = self._llm_config.get_or_create_callback().start
        start.add(phase, seconds)
        most = most_replicas(self._llm_config.deployment_config)
        Notes.of().write(Note(start.model, "", start.took, start.allowed, most))
        logging.getLogger("ray.serve").info(start.summary())

    async def check_health(self) -> None:
        """Raise where the engine is dead or hangs; Ray Serve then starts another replica.

        Raises:
            EngineStalled: it made no step for too long although somebody waits for one.
        """
        await super().check_health()
        if self._life is not None:
            await self._life.check()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `serving.engine.autoscale` goes by."""
        return {} if self._life is None else self._life.demand()

    def set_adapters(self, names: Iterable[str]) -> None:
        """Tell the gateways which LoRA adapters this replica has loaded."""
        if self._life is not None:
            self._life.adapters = tuple(names)

    async def __del__(self) -> None:
        if self._life is not None:
            await self._life.end()
        await super().__del__()


class ModelServer(WarmedUp):
    """A replica with one engine, on however many ranks."""


class DataParallelServer(WarmedUp, DPServer):  # type: ignore[misc]
    """One rank of a data-parallel group; Ray Serve starts and restarts the group as one."""
