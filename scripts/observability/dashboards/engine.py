"""vLLM from the inside: KV cache, batch, prefill and decode, drafts, balance."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import (
    ENGINE_ONE,
    MODEL_ONE,
    highest,
    mean,
    rate,
    recorded,
    total,
)

_REPLICA, _RAW = "{{model}} {{instance}}", "{{model_name}} {{instance}}"
_ACCEPTED = "vllm:spec_decode_num_accepted_tokens_total"
_DRAFTS = "vllm:spec_decode_num_drafts_total"
_BY_RANK = rate("vllm:generation_tokens_total", ENGINE_ONE, "model_name", "instance", "engine")
_UNEVEN = f"max by (model_name) ({_BY_RANK}) / (avg by (model_name) ({_BY_RANK}) > 0)"

_MEMORY = Row(
    "KV cache and batch",
    (
        Panel(
            "KV cache used, by replica",
            "Share of KV blocks in use. Normal below 75 %, alert above 85 %: at 100 % the engine "
            "throws running requests out and computes their prompts again.",
            "percentunit",
            (Query(recorded("r1:kv_cache_used_ratio", MODEL_ONE), _REPLICA),),
            steps=colors.MEMORY,
            highest=1,
        ),
        Panel(
            "Preemptions",
            "Requests a second that lost their KV cache to others and start over. Any lasting rate "
            "means: fewer requests at once, shorter contexts or more replicas.",
            "short",
            (Query(recorded("r1:engine_preemptions:rate", MODEL_ONE), _REPLICA),),
        ),
        Panel(
            "Decoding and waiting",
            "Requests in the batch, and those that the engine itself keeps waiting.",
            queries=(
                Query(
                    total("r1:engine_running", MODEL_ONE, "model"),
                    "{{model}} decoding",
                ),
                Query(
                    total("r1:engine_waiting", MODEL_ONE, "model"),
                    "{{model}} waiting",
                ),
            ),
            board="r1-batching",
        ),
    ),
)

_WORK = Row(
    "Prefill and decode",
    (
        Panel(
            "Tokens",
            "A second: prompts computed and tokens generated, by model.",
            "short",
            (
                Query(
                    total("r1:engine_prompt_tokens:rate", MODEL_ONE, "model"),
                    "{{model}} prompt",
                ),
                Query(
                    total("r1:engine_generated_tokens:rate", MODEL_ONE, "model"),
                    "{{model}} generated",
                ),
            ),
        ),
        Panel(
            "Prefill, p95",
            "Time that the engine took over prompts, without its queue.",
            "s",
            (Query(recorded("r1:engine_prefill_seconds", MODEL_ONE, "0.95"), _REPLICA),),
        ),
        Panel(
            "Between tokens, p95",
            "As the engine counts it, by replica. One that is slower than its siblings is "
            "throttled or shares its GPU.",
            "s",
            (Query(recorded("r1:engine_itl_seconds", MODEL_ONE, "0.95"), _REPLICA),),
            board="r1-gpus",
        ),
        Panel(
            "Tokens a step",
            "Mean tokens of one engine step: prompts in pieces and one token for each sequence. "
            "Small while requests wait: the batch window is too tight.",
            "short",
            (
                Query(
                    mean("vllm:iteration_tokens_total", ENGINE_ONE, "model_name"), "{{model_name}}"
                ),
            ),
        ),
        Panel(
            "Parts of a request, p95",
            "In the engine: its queue, prefill and decode, of the slowest replica.",
            "s",
            tuple(
                Query(
                    highest(f"r1:engine_{part}_seconds", MODEL_ONE, where='quantile="0.95"'), part
                )
                for part in ("queue", "prefill", "decode")
            ),
        ),
        Panel(
            "How requests end",
            "A second. length: the token limit was reached; abort: the caller or the gateway left; "
            "error: the engine failed.",
            "short",
            (
                Query(
                    total("r1:engine_finished:rate", MODEL_ONE, "finished_reason"),
                    "{{finished_reason}}",
                ),
            ),
            kind="stack",
        ),
    ),
)

_DRAFT = Row(
    "Drafts (MTP and other speculation)",
    (
        Panel(
            "Drafted tokens accepted",
            "Share of drafted tokens that the model agreed with. Below what the plan counts with, "
            "drafts cost more than they save.",
            "percentunit",
            (Query(recorded("r1:drafts_accepted:ratio", MODEL_ONE), _REPLICA),),
            highest=1,
        ),
        Panel(
            "Tokens a decode step",
            "Mean tokens that one step of a sequence gives: 1 without any accepted draft.",
            "short",
            (
                Query(
                    f"1 + {rate(_ACCEPTED, ENGINE_ONE, 'model_name')}"
                    f" / {rate(_DRAFTS, ENGINE_ONE, 'model_name')}",
                    "{{model_name}}",
                ),
            ),
            decimals=2,
        ),
        Panel(
            "Accepted, by position",
            "Share of drafts whose first, second, … token was accepted. A steep fall: draft fewer "
            "tokens.",
            "percentunit",
            (
                Query(
                    rate(
                        "vllm:spec_decode_num_accepted_tokens_per_pos_total",
                        ENGINE_ONE,
                        "model_name",
                        "position",
                    )
                    + f" / on (model_name) group_left () {rate(_DRAFTS, ENGINE_ONE, 'model_name')}",
                    "{{model_name}} position {{position}}",
                ),
            ),
            highest=1,
        ),
    ),
)

_BALANCE = Row(
    "Balance",
    (
        Panel(
            "Requests by rank",
            "Requests in the batch of each data-parallel rank (`engine`). Ranks of a "
            "mixture-of-experts model wait for the slowest one at every step.",
            queries=(
                Query(
                    total(
                        "vllm:num_requests_running",
                        ENGINE_ONE,
                        "model_name",
                        "instance",
                        "engine",
                    ),
                    _RAW + " rank {{engine}}",
                ),
            ),
        ),
        Panel(
            "Tokens by rank",
            "Tokens generated a second by each rank.",
            queries=(Query(_BY_RANK, _RAW + " rank {{engine}}"),),
        ),
        Panel(
            "Unevenness of ranks",
            "The busiest rank's share above the mean: 0 is even. vLLM exports nothing of single "
            "experts; an uneven load of experts shows here and as slower tokens.",
            "percentunit",
            (Query(f"{_UNEVEN} - 1", "{{model_name}}"),),
        ),
    ),
)

ENGINE = Board(
    "r1-engine",
    "r1 / Engine",
    "vLLM from the inside: KV cache, batch, prefill and decode, drafts, balance of ranks.",
    (_MEMORY, _WORK, _DRAFT, _BALANCE),
    instances="vllm:num_requests_running",
)
