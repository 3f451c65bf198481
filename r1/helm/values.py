"""Plans as values of the chart deploy/helm/r1."""

import math
from collections.abc import Sequence
from typing import Any

from serving.app import parse
from serving.plan.plan import Plan
from serving.preflight.demand import Demand, demand_of
from serving.preflight.release import SCALING

SHIPPED_MODEL = "r1-nano"
"""What the chart serves where values name no model."""
LEAST_GATEWAYS = 2
TOKENS_PER_GATEWAY = 10_000.0
"""Tokens a second that one gateway passed on in time: 500 streams of 20 a second each
(docs/benchmarks.md, the gateway beside others)."""
STEP_S, LEAST_LONGEST_S = 60.0, 600.0
"""Longest answers are rounded up to whole steps, so that small changes of a plan are none here. A
drain that may take ten minutes costs nothing where answers are shorter: it ends with the last."""
RDMA = {"resource": "rdma/hca_shared_devices_a", "count": 1}
"""As NVIDIA's network operator names the shared cards of a node; one gives a pod all of them."""
GIB = 1024**3
MIB = 1024**2


def values_of(plans: Sequence[Plan]) -> dict[str, Any]:
    """The chart's values that deploy these plans together.

    Raises:
        ValueError: the chart can't deploy one of them, or a model is planned twice.
    """
    models: dict[str, Any] = {}
    for plan in plans:
        if plan.model.id in models:
            raise ValueError(f"{plan.model.id} is planned twice; name each model once")
        models[plan.model.id] = entry_of(plan)
    if SHIPPED_MODEL not in models:
        models[SHIPPED_MODEL] = {"enabled": False}
    longest = max(LEAST_LONGEST_S, *(plan.longest_answer_s for plan in plans))
    return {
        "longestAnswer": int(math.ceil(longest / STEP_S) * STEP_S),
        "gateway": {"replicas": gateways(sum(_streamed(plan) for plan in plans))},
        "models": models,
    }


def gateways(tokens_per_s: float) -> int:
    """Gateways for a rate of output tokens: one more than carry it, and never fewer than two."""
    return max(LEAST_GATEWAYS, 1 + math.ceil(tokens_per_s / TOKENS_PER_GATEWAY))


def entry_of(plan: Plan) -> dict[str, Any]:
    """One model's entry of the chart's `models`.

    Raises:
        ValueError: the chart can't deploy the plan.
    """
    if plan.engine is None:
        raise ValueError(
            f"{plan.best.candidate.engine} serves this plan, which the chart does not start: name "
            "it as an upstream in the gateway's configuration"
        )
    if plan.described is not None:
        raise ValueError(
            f"--hardware {plan.described}: the chart knows the shipped machine shapes only; take "
            "the one that is nearest"
        )
    if plan.best.candidate.cache_dtype != "auto":
        raise ValueError("--fp8-kv: the chart does not deploy an FP8 KV cache; plan without it")
    arguments = plan.arguments
    demand = demand_of(parse(arguments))
    entry: dict[str, Any] = {"enabled": True}
    entry |= {name: arguments[name] for name in ("hardware", "profile")}
    if "build" in arguments:
        entry["build"] = arguments["build"]
    if _fills_machines(plan):
        entry["replicas"] = plan.best.replicas
    else:
        entry["autoscaling"] = _autoscaling(plan)
    if arguments["engine"]:
        entry["engine"] = arguments["engine"]
    if not plan.machine.is_cpu:
        # The chart's own defaults are made for processors, and measured there.
        entry["nodesPerReplica"] = demand.pods
        entry["pod"] = pod_of(demand)
    return entry


def pod_of(demand: Demand) -> dict[str, Any]:
    """What a pod of a model on GPUs asks for, in Kubernetes' quantities."""
    gpu = demand.machine.gpu
    if gpu is None:
        return {}
    pod: dict[str, Any] = {
        "gpus": demand.gpus,
        "gpuResource": gpu.resource,
        "cpu": f"{demand.cpus:g}",
        "memory": memory_quantity(demand.memory_bytes),
        "shm": memory_quantity(demand.shm_bytes),
    }
    if demand.rdma:
        pod["rdma"] = dict(RDMA)
    if gpu.node_selector:
        pod["nodeSelector"] = gpu.node_selector
    pod["tolerations"] = [{"key": gpu.resource, "operator": "Exists", "effect": "NoSchedule"}]
    return pod


def memory_quantity(size: int) -> str:
    """Bytes as a quantity that is not less: whole GiB, or MiB below four of them."""
    if size % GIB == 0 or size > 4 * GIB:
        return f"{-(-size // GIB)}Gi"
    return f"{-(-size // MIB)}Mi"


def _streamed(plan: Plan) -> float:
    """Tokens a second; processors give too few to count, and none that are calibrated."""
    return 0.0 if plan.machine.is_cpu else plan.tokens_per_s


def _fills_machines(plan: Plan) -> bool:
    """Whether a replica more takes a machine more, which is somebody's decision to buy."""
    return plan.best.candidate.layout.devices >= max(2, plan.machine.gpus) or plan.machine.is_cpu


def _autoscaling(plan: Plan) -> dict[str, Any]:
    given = plan.autoscaling
    pace = None if plan.engine is None else plan.engine.profile.pace
    if pace is not None:
        given |= {
            "min_replicas": pace.least,
            "upscale_delay_s": pace.up_s,
            "downscale_delay_s": pace.down_s,
        }
    return {name: given[theirs] for name, theirs in SCALING.items() if theirs in given}
