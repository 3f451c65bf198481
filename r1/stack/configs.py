"""The configurations that a stack hands to its gateway and its model plane: pure rendering."""

from typing import Any

from r1.stack.home import Home
from r1.stack.plan import ServedModel, StackPlan
from r1.stack.ports import PortPlan
from serving.catalog import Catalog
from serving.local.config import Ports

# A replica on one's own machine starts in seconds: it needn't be kept as long as one on GPUs.
IDLE_S = 60.0
# What DeepSeek's own API calls its reasoning model: programs written for it work unchanged.
DEEPSEEK_NAMES = ("deepseek-r1", "deepseek-reasoner")


def gateway_config(
    plan: StackPlan, ports: PortPlan, home: Home, catalog: Catalog, store_url: str
) -> dict[str, Any]:
    """Return the gateway's configuration; the first model also answers to DeepSeek's names."""
    return {
        "listen": {
            "host": "127.0.0.1",
            "port": ports.api,
            "workers": plan.gateway_workers,
            "drain_delay_s": 0.0,
            # Whoever ends a stack waits for it.
            "drain_idle_s": 1.0,
            "drain_timeout_s": plan.drain_s,
        },
        "admin": {
            "host": "127.0.0.1",
            "port": ports.admin,
            "key_file": str(home.secret_file("admin.key")),
        },
        "store": {"url": store_url},
        "auth": {"pepper_file": str(home.secret_file("pepper"))},
        "models": [
            _gateway_model(plan, ports, home, catalog, model, first=index == 0)
            for index, model in enumerate(plan.models)
        ],
    }


def _gateway_model(
    plan: StackPlan,
    ports: PortPlan,
    home: Home,
    catalog: Catalog,
    served: ServedModel,
    *,
    first: bool,
) -> dict[str, Any]:
    model = catalog.resolve(served.id)
    aliases = list(model.aliases)
    if first:
        aliases += [alias for alias in DEEPSEEK_NAMES if alias not in model.names]
    return {
        "id": model.id,
        "aliases": aliases,
        "context_length": served.context or model.context.served,
        "defaults": {"temperature": model.sampling.temperature, "top_p": model.sampling.top_p},
        "timeouts": {"total_s": plan.longest_answer_s},
        **({"prices": model.prices.model_dump()} if model.prices else {}),
        "discovery": "registry",
        "discovery_key_file": str(home.secret_file("engine.key")),
        **_waits(plan, served),
        "upstreams": [
            {
                "url": f"http://127.0.0.1:{ports.serve}/{model.id}",
                "key_file": str(home.secret_file("engine.key")),
            }
        ],
    }


def plane_config(plan: StackPlan, ports: PortPlan) -> dict[str, Any]:
    """Return the configuration of `python -m serving.local`."""
    return {
        "temp_dir": plan.temp_dir,
        "ports": ports.model_dump(include=set(Ports.model_fields)),
        "longest_answer_s": plan.longest_answer_s,
        "gpus": plan.gpus,
        "applications": [
            {
                "model": model.id,
                "arguments": {
                    "hardware": model.hardware,
                    "any_gpu": True,
                    "profile": model.profile,
                    **_replicas(model),
                    "longest_answer_s": plan.longest_answer_s,
                    **({"build": model.build} if model.build else {}),
                    **({"weights": model.weights} if model.weights else {}),
                    **_adapters(model),
                },
            }
            for model in plan.models
        ],
    }


def _adapters(model: ServedModel) -> dict[str, Any]:
    if not model.max_adapters:
        return {}
    return {"adapters": model.adapters, "max_adapters": model.max_adapters}


def _waits(plan: StackPlan, model: ServedModel) -> dict[str, Any]:
    if model.min_replicas:
        return {}
    # The first replica's start is worth waiting for.
    return {"batching": {"longest_wait_s": plan.longest_answer_s}}


def _replicas(model: ServedModel) -> dict[str, Any]:
    if model.min_replicas == model.max_replicas:
        return {"replicas": model.max_replicas}
    bounds = {"min_replicas": model.min_replicas, "max_replicas": model.max_replicas}
    return {"autoscaling": {**bounds, "downscale_delay_s": IDLE_S}}
