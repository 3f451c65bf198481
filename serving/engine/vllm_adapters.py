"""vLLM as what loads adapters, and the route that a replica tells of them at."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from serving.engine.adapter_set import AdapterSet
from serving.engine.adapters import ADAPTERS, Adapter
from serving.errors import InvalidAdapter
from serving.registry import STORE_FAULTS, URL_VARIABLE, connect
from serving.wanted import WantedAdapters

PATH = "/v1/adapters"
"""Below vLLM's guarded prefix: whoever asks needs the engine key, where there is one."""
GRACE_S = 3.0
"""Replicas tell the registry of a change at once; gateways read it once a second."""


class VllmAdapters:
    """Loads adapters into the engine that an application of vLLM's serves."""

    def __init__(self, models: Any) -> None:
        """Take vLLM's OpenAIServingModels."""
        self._models = models

    async def load(self, adapter: Adapter) -> None:
        """Load one, or the same from another folder.

        Raises:
            InvalidAdapter: vLLM can't, with its reason.
        """
        from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest

        answer = await self._models.load_lora_adapter(
            LoadLoRAAdapterRequest(
                lora_name=adapter.name,
                lora_path=str(adapter.folder),
                load_inplace=adapter.name in self._models.lora_requests,
            )
        )
        if not isinstance(answer, str):
            raise InvalidAdapter(f"{adapter.name}: the engine refused it: {answer.error.message}")

    async def unload(self, name: str) -> None:
        """Take one out; requests that run keep it until they end."""
        from vllm.entrypoints.serve.lora.protocol import UnloadLoRAAdapterRequest

        # The engine keeps the weights until it needs their place: taken out now, a running request
        # would have them read from a folder that may be gone, and the engine dies of that.
        await self._models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=name))


def add_route(app: Any, adapters: AdapterSet) -> None:
    """Let `GET` tell what a replica has loaded, and `POST` have it look at what it should have."""

    async def tell() -> dict[str, Any]:
        return adapters.report.document()

    async def sync() -> dict[str, Any]:
        return (await adapters.sync()).document()

    app.add_api_route(PATH, tell, methods=["GET"])
    app.add_api_route(PATH, sync, methods=["POST"])


async def begin(
    app: Any, config: Any, tell: Callable[[tuple[str, ...]], None] = lambda names: None
) -> asyncio.Task[None] | None:
    """Load what a replica is to have; the task that keeps it so, None where it can have none.

    Args:
        app: vLLM's application.
        config: Ray Serve LLM's LLMConfig.
        tell: is told the names that are loaded, at each change.

    Raises:
        InvalidAdapter: one that the deployment declares can't be loaded.
        WrongStoreUrl: the registry's URL is none.
    """
    declared = config.experimental_configs.get(ADAPTERS)
    if declared is None:
        return None
    engine = VllmAdapters(app.state.openai_serving_models)
    most = int(config.engine_kwargs["max_cpu_loras"])
    url = os.environ.get(URL_VARIABLE)
    if url is None:
        adapters = AdapterSet(engine, declared, most, nothing)
    else:
        read = WantedAdapters(connect(url), config.model_id).read
        adapters = AdapterSet(engine, declared, most, read, STORE_FAULTS, tell, GRACE_S)
    report = await adapters.sync()
    for name in declared.keys() & report.failed.keys():
        raise InvalidAdapter(report.failed[name])
    add_route(app, adapters)
    return asyncio.create_task(adapters.keep())


async def nothing() -> dict[str, str]:
    """What is said at run time where there is no store to say it in."""
    return {}
