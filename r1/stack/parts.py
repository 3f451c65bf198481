"""The three processes of a stack, as specifications: store, model plane, gateway."""

import asyncio
import sys

from r1.stack.home import Home, engine_folders
from r1.stack.part import PartSpec, http_ok
from r1.stack.plan import MARKER, StackPlan
from r1.stack.ports import PortPlan
from r1.stack.redis_server import answers, find_redis_server
from serving.registry import URL_VARIABLE

STORE, MODELS, GATEWAY = "store", "models", "gateway"
# The engines load megabytes and compile one sampling kernel; but the machine may be slow and busy.
MODELS_START_LIMIT_S = 900.0
# Hundreds of gigabytes from a disk, and compiling for GPUs; from a hub they must be fetched first.
GPU_START_LIMIT_S = 2700.0
FETCH_LIMIT_S = 6 * 3600.0
STORE_START_LIMIT_S = 120.0
GATEWAY_START_LIMIT_S = 180.0


def store_spec(plan: StackPlan, ports: PortPlan, home: Home, password: str) -> PartSpec:
    """Return the store: Redis on loopback.

    Raises:
        NoStore: no redis-server was found.
    """

    async def ready() -> bool:
        return await asyncio.to_thread(answers, ports.store, password)

    return PartSpec(
        name=STORE,
        command=(find_redis_server(), str(home.store_config)),
        environment={MARKER: plan.stack_id},
        log=home.log(STORE),
        ready=ready,
        start_limit_s=STORE_START_LIMIT_S,
    )


def models_spec(
    plan: StackPlan, home: Home, engine_key: str, store_url: str, all_ready: asyncio.Event
) -> PartSpec:
    """Return the model plane; it is ready when its events have said so of every model."""

    async def ready() -> bool:
        return all_ready.is_set()

    return PartSpec(
        name=MODELS,
        command=(sys.executable, "-m", "serving.local", "--config", str(home.plane_config)),
        # By environment, because an argument would show the key in the process list.
        environment={
            MARKER: plan.stack_id,
            "VLLM_API_KEY": engine_key,
            URL_VARIABLE: store_url,
            **engine_folders(plan.temp_dir),
        },
        log=home.log(MODELS),
        ready=ready,
        start_limit_s=models_start_limit_s(plan),
        reports_events=True,
    )


def models_start_limit_s(plan: StackPlan) -> float:
    """Seconds until all models must be ready."""
    limit = GPU_START_LIMIT_S if plan.gpus else MODELS_START_LIMIT_S
    return limit if all(model.local for model in plan.models) else limit + FETCH_LIMIT_S


def gateway_spec(plan: StackPlan, ports: PortPlan, home: Home) -> PartSpec:
    """Return the gateway; it is ready when its admin port says that it lives."""

    async def ready() -> bool:
        return await http_ok(ports.api, "/livez") and await http_ok(ports.admin, "/livez")

    return PartSpec(
        name=GATEWAY,
        command=(sys.executable, "-m", "r1", "gateway", "--config", str(home.gateway_config)),
        environment={MARKER: plan.stack_id},
        log=home.log(GATEWAY),
        ready=ready,
        start_limit_s=GATEWAY_START_LIMIT_S,
    )
