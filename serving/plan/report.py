"""A plan as plain values, for JSON and for tables, and as Ray Serve's configuration."""

from dataclasses import asdict
from typing import Any

from serving.plan.plan import Plan

QUANTILES = (0.5, 0.99)


def as_document(plan: Plan) -> dict[str, Any]:
    """All of a plan as plain values; names carry their units."""
    best, candidate = plan.best, plan.best.candidate
    return {
        "model": plan.model.id,
        "hardware": plan.machine.id,
        "machines": plan.machines,
        "replicas": best.replicas,
        "gpus": 0 if plan.machine.is_cpu else best.gpus,
        "build": candidate.build,
        "engine": candidate.engine,
        "profile": plan.profile,
        "parallelism": {
            "tensor": candidate.layout.tensor,
            "pipeline": candidate.layout.pipeline,
            "data": candidate.layout.data,
            "expert": candidate.layout.expert,
            "redundant_experts": candidate.layout.redundant,
            "mtp_drafts": candidate.drafts,
        },
        "kv_cache_dtype": candidate.cache_dtype,
        "memory_gb_per_rank": memory_gb(plan),
        "kv_tokens_per_rank": best.memory.kv_tokens,
        "kv_tokens_per_replica": best.memory.kv_tokens * candidate.layout.data,
        "context_tokens": best.context,
        "users_that_fit_per_replica": round(fitting(plan)),
        "users_within_targets_per_replica": round(plan.window, 1),
        "autoscaling": plan.autoscaling,
        "load": asdict(plan.load),
        "targets": [str(each) for each in plan.targets],
        "targets_met": best.met,
        "missed": best.missed,
        "close": plan.close,
        "predicted": predicted(plan),
        "error_band": dict(plan.band),
        "usd_per_million_output_tokens": plan.usd_per_million_tokens,
        "arguments": plan.arguments,
        "engine_arguments": plan.engine.kwargs if plan.engine else None,
        "environment": dict(plan.engine.env) if plan.engine else None,
        "warnings": [each.sentence for each in plan.engine.warnings] if plan.engine else [],
        "alternatives": [{"name": each.name, "why": each.why} for each in plan.lost],
    }


def memory_gb(plan: Plan) -> dict[str, float]:
    """Where the memory of one GPU goes, in 10^9 bytes; of one rank on processors."""
    memory = plan.best.memory
    found = {
        "weights": memory.weights,
        "redundant_experts": memory.redundant,
        "kv_cache": memory.kv_cache,
        "engine": memory.engine,
        "left_alone": memory.untouched,
        "weights_on_host": plan.best.on_host,
    }
    return {name: round(size / 1e9, 2) for name, size in found.items()}


def fitting(plan: Plan) -> float:
    """Requests of the load's lengths that one replica has a place and KV cache for."""
    group = plan.best.group
    if group is None:
        return 0.0
    return group.most_sequences(plan.load.context) * group.layout.data


def predicted(plan: Plan) -> dict[str, Any]:
    """Times of users and rates of the deployment."""
    seen = plan.best.outlook
    if seen is None:
        return {}

    def at(time: Any, scale: float) -> dict[str, float]:
        return {f"p{share * 100:g}": round(time(share) * scale, 1) for share in QUANTILES}

    return {
        "ttft_ms": at(seen.ttft_s, 1e3),
        "itl_ms": at(seen.itl_s, 1e3),
        "e2e_s": at(seen.e2e_s, 1.0),
        "tokens_per_s": round(plan.tokens_per_s, 1),
        "tokens_per_s_per_gpu": round(plan.tokens_per_s / max(1, plan.best.gpus), 1),
        "tokens_per_s_per_user": round(seen.tokens_per_s_per_user, 1),
        "requests_per_s": round(plan.tokens_per_s / plan.load.answer.mean, 3),
    }


def serve_config(plan: Plan) -> dict[str, Any]:
    """Ray's serveConfigV2 with this one application.

    Raises:
        ValueError: another engine than vLLM serves the plan, which Ray Serve does not start, or
            its FP8 cache wants a report first.
    """
    if plan.engine is None:
        raise ValueError(
            f"{plan.best.candidate.engine} serves this plan, not Ray Serve: start it yourself and "
            "name it as an upstream in the gateway's configuration"
        )
    if plan.best.candidate.cache_dtype != "auto":
        raise ValueError(
            "an FP8 KV cache is served only with a report that answers stay the same: run "
            "`python -m serving.engine.kv_parity` and name it as kv_parity in the application, or "
            "plan without --fp8-kv"
        )
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": 8000},  # noqa: S104 a cluster's proxies
        "applications": [
            {
                "name": plan.model.id,
                "route_prefix": f"/{plan.model.id}",
                "import_path": "serving.app:build",
                "args": plan.arguments,
            }
        ],
    }
