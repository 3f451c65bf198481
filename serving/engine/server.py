"""The replica: Ray Serve LLM's server, ready only after the warm-up.

Ray Serve starts a replica's HTTP server after the application is built, and HAProxy sends it
nothing before. So a warm-up inside the building hook is a warm-up before readiness.
"""

import logging
import os
from typing import Any

from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.llm._internal.serve.core.server.llm_server import LLMServer
from ray.llm._internal.serve.serving_patterns.data_parallel.dp_server import DPServer

from serving.engine.warmup import ASGIApp, warm_up, warm_up_steps

# A first compilation on a slow machine takes minutes; an engine that hangs must not wait for ever.
WARM_UP_TIMEOUT_S = 900.0


class LocalWeights(CallbackBase):  # type: ignore[misc]
    """Skip Ray's download task: the weights are a folder that every node has.

    Without it every start pays for one more worker process that imports the engine.
    """

    async def on_before_node_init(self) -> None:
        """Tell Ray Serve LLM that there is nothing to download."""
        self.ctx.run_init_node = False


class WarmedUp(LLMServer):  # type: ignore[misc]
    """LLMServer whose application is built, warmed up and only then handed to Ray Serve."""

    def _get_default_engine_class(self) -> type[Any]:
        # Imported in the replica only: it brings the engine in.
        from serving.engine.cpu_engine import CpuEngine

        return CpuEngine

    async def _start_engine(self) -> None:
        # Ray's own version also starts an actor that reports the model to Ray's usage
        # statistics: 400 MB and ten seconds of a core for something that is switched off.
        await self.engine.start()

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Build vLLM's application and warm the engine up through it.

        Raises:
            WarmUpError: the engine didn't answer; Ray Serve then starts the replica anew.
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
        logging.getLogger("ray.serve").info("warmed up %s in %.1f s", model, seconds)
        return app  # type: ignore[no-any-return]


class ModelServer(WarmedUp):
    """A replica with one engine, on however many ranks."""


class DataParallelServer(WarmedUp, DPServer):  # type: ignore[misc]
    """One rank of a data-parallel group; Ray Serve starts and restarts the group as one."""
