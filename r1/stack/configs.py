"""The configurations that a stack hands to its gateway and its model plane: pure rendering."""

from dataclasses import asdict
from typing import Any

from r1.stack.home import Home
from r1.stack.plan import StackPlan
from r1.stack.ports import PortPlan
from serving.catalog import Catalog
from serving.local.config import Ports

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
            _gateway_model(plan, ports, home, catalog, model.id, first=index == 0)
            for index, model in enumerate(plan.models)
        ],
    }


def _gateway_model(
    plan: StackPlan, ports: PortPlan, home: Home, catalog: Catalog, name: str, *, first: bool
) -> dict[str, Any]:
    model = catalog.resolve(name)
    aliases = list(model.aliases)
    if first:
        aliases += [alias for alias in DEEPSEEK_NAMES if alias not in model.names]
    return {
        "id": model.id,
        "aliases": aliases,
        "context_length": model.context.served,
        "defaults": {"temperature": model.sampling.temperature, "top_p": model.sampling.top_p},
        "timeouts": {"total_s": plan.longest_answer_s},
        **({"prices": model.prices.model_dump()} if model.prices else {}),
        "upstreams": [
            {
                "url": f"http://127.0.0.1:{ports.serve}/{model.id}",
                "key_file": str(home.secret_file("engine.key")),
            }
        ],
    }


def plane_config(plan: StackPlan, ports: PortPlan) -> dict[str, Any]:
    """Return the configuration of `python -m serving.local`."""
    numbers = asdict(ports)
    return {
        "temp_dir": plan.temp_dir,
        "ports": {name: numbers[name] for name in Ports.model_fields},
        "longest_answer_s": plan.longest_answer_s,
        "applications": [
            {
                "model": model.id,
                "arguments": {
                    "hardware": "cpu",
                    "profile": model.profile,
                    "replicas": 1,
                    "longest_answer_s": plan.longest_answer_s,
                    **({"weights": model.weights} if model.weights else {}),
                },
            }
            for model in plan.models
        ],
    }
