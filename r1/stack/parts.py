"""The three processes of a stack, as specifications: store, model plane, gateway."""

import asyncio
import getpass
import os
import sys
import tempfile
from pathlib import Path

from r1.stack.home import Home
from r1.stack.part import PartSpec, http_ok
from r1.stack.plan import MARKER, StackPlan
from r1.stack.ports import PortPlan
from r1.stack.redis_server import answers, find_redis_server

STORE, MODELS, GATEWAY = "store", "models", "gateway"
# The engines load megabytes and compile one sampling kernel; but the machine may be slow and busy.
MODELS_START_LIMIT_S = 900.0
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


def models_spec(plan: StackPlan, home: Home, engine_key: str, all_ready: asyncio.Event) -> PartSpec:
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
            # What engines leave in the temporary folder goes with the stack's own; compiled
            # kernels stay, because the next start is quicker with them.
            "TMPDIR": plan.temp_dir,
            "TORCHINDUCTOR_CACHE_DIR": os.environ.get("TORCHINDUCTOR_CACHE_DIR")
            or str(Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}"),
        },
        log=home.log(MODELS),
        ready=ready,
        start_limit_s=MODELS_START_LIMIT_S,
        reports_events=True,
    )


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
