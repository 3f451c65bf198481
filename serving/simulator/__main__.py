"""Runs a simulated engine: `python -m serving.simulator --port 8000 --model r1-nano`.

With `--hardware 8xh200 --profile throughput` its timing, limits, drafts, data-parallel ranks and
KV cache are those that the plan predicts for a model of the catalog; else what the options say.
With R1_REGISTRY_URL in the environment (a Redis) it registers itself there like any replica.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web

from serving.engine.profiles import DEFAULT
from serving.errors import ServingError
from serving.plan.roofline import FIRST_DRAFT
from serving.registry import URL_VARIABLE, Registry, Replica, connect
from serving.simulator.blocks import Blocks
from serving.simulator.drafts import accepted
from serving.simulator.engine import Engine
from serving.simulator.faults import Controls
from serving.simulator.metrics import Metrics
from serving.simulator.ranks import Ranks
from serving.simulator.scheduler import Limits
from serving.simulator.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from serving.simulator.planned import Planned
    from serving.simulator.timing import Pace


def parser() -> argparse.ArgumentParser:
    """The command line."""
    line = argparse.ArgumentParser(prog="python -m serving.simulator", description=__doc__)
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--port", type=int, default=8000)
    line.add_argument("--model", action="append", help="a name served; repeat it (r1-nano)")
    line.add_argument("--key-file", type=Path, help="the engine key to ask for")
    line.add_argument("--hardware", help="machine shape to be timed as; --model is in the catalog")
    line.add_argument("--profile", default=DEFAULT, help="profile on it (default: the usual one)")
    line.add_argument("--build", help="build of the weights, if not the profile's")
    line.add_argument("--cold-start-s", type=float, help="before it listens (planned, or 0)")
    line.add_argument("--max-model-len", type=int, help="tokens of context (4096)")
    line.add_argument("--kv-tokens", type=int, help="tokens of KV cache of a rank (262144)")
    line.add_argument("--block-size", type=int, default=16, help="tokens of a KV block")
    line.add_argument("--data-parallel-size", type=int, help="ranks with a batch each (1)")
    line.add_argument("--max-num-seqs", type=int, help="of a rank (256)")
    line.add_argument("--max-num-batched-tokens", type=int, help="of a rank (8192)")
    line.add_argument("--tokens-per-step", type=int, help="more with MTP (1)")
    line.add_argument("--draft-acceptance", type=float, help="of MTP's drafts (1, all)")
    line.add_argument("--step-ms", type=float, default=0.0, help="of a decode step")
    line.add_argument("--sequence-ms", type=float, default=0.0, help="more for each sequence")
    line.add_argument("--context-us", type=float, default=0.0, help="more for each KV token")
    line.add_argument("--prefill-us", type=float, default=0.0, help="for each prompt token")
    line.add_argument("--reasoning-tokens", type=int, default=120, help="that are said (120)")
    line.add_argument("--content-tokens", type=int, default=40, help="behind them (40)")
    line.add_argument("--seed", type=int, default=0, help="of words and of chance")
    line.add_argument("--advertise", help="own URL for the registry, if there is one")
    line.add_argument("--record", action="store_true", help="keep requests for GET /seen")
    return line


def plan_of(args: argparse.Namespace) -> Planned | None:
    """What the plan says of the engine, if the command line asks for its timing.

    Raises:
        ServingError: a name is unknown, or model, machine and profile don't fit together.
    """
    if args.hardware is None:
        return None
    # Imported here: it reads the catalog, which a plain simulated engine doesn't need.
    from serving.simulator.planned import planned

    model = args.model[0] if args.model else "r1-nano"
    return planned(model, args.hardware, args.profile, args.build)


def ranks_of(args: argparse.Namespace, plan: Planned | None, context: int) -> Ranks:
    """The engine's ranks; what the command line gives wins over the plan."""
    usual = Limits() if plan is None else plan.limits
    limits = Limits(
        args.max_num_seqs or usual.sequences,
        args.max_num_batched_tokens or usual.batched_tokens,
        args.tokens_per_step or usual.tokens_per_step,
    )
    tokens = args.kv_tokens or (262_144 if plan is None else int(plan.group.kv_tokens))
    count = args.data_parallel_size or (1 if plan is None else plan.group.layout.data)
    size = -(-max(tokens, context) // args.block_size)
    keep, chance = None, args.draft_acceptance
    if chance is None and plan is not None:
        chance = FIRST_DRAFT
    if chance is not None:
        draw = random.Random(args.seed).random
        keep = accepted(chance, limits.tokens_per_step - 1, draw)
    return Ranks([Blocks(size, args.block_size) for _ in range(count)], limits, keep)


def build(args: argparse.Namespace, plan: Planned | None = None) -> Server:
    """The server that the command line asks for."""
    models = tuple(args.model or ("r1-nano",))
    context = args.max_model_len or (4096 if plan is None else plan.context)
    controls = Controls(
        step_s=args.step_ms / 1e3,
        per_sequence_s=args.sequence_ms / 1e3,
        per_context_token_s=args.context_us / 1e6,
        per_prefill_token_s=args.prefill_us / 1e6,
        reasoning_tokens=args.reasoning_tokens,
        content_tokens=args.content_tokens,
    )
    metrics = Metrics(models[0])

    def timing() -> Pace:
        controls = server.controls
        return controls.timing() if plan is None else plan.timing(controls.slow)

    engine = Engine(ranks_of(args, plan, context), timing, metrics)
    server = Server(
        engine,
        metrics,
        controls,
        models=models,
        context=context,
        key=args.key_file.read_text().strip() if args.key_file else None,
        seed=args.seed,
        record=args.record,
    )
    return server


def registered(
    url: str, entry: Callable[[], Replica]
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Keeps a replica in the registry while the application runs; `entry` says how it stands."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        redis = connect(url)
        keeping = asyncio.create_task(Registry(redis).keep(entry))
        yield
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await redis.aclose()

    return context


def standing(url: str, model: str, server: Server) -> Replica:
    """What the registry says of an engine."""
    ranks = server.engine.ranks
    return Replica(
        url,
        model,
        capacity=ranks.capacity,
        load=len(ranks.running) + len(ranks.waiting),
        kv_used=ranks.used_share,
        prefix_hits=ranks.found / ranks.queried if ranks.queried else 0.0,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until ended."""
    args = parser().parse_args(argv)
    try:
        plan = plan_of(args)
    except ServingError as error:
        raise SystemExit(f"serving.simulator: {error}") from error
    server = build(args, plan)
    app = server.app()
    registry = os.environ.get(URL_VARIABLE)
    if registry:
        url = args.advertise or f"http://{args.host}:{args.port}"
        for model in server.models:
            app.cleanup_ctx.append(registered(registry, partial(standing, url, model, server)))
    # Like a real engine's, its port opens when it is ready.
    usual = 0.0 if plan is None else plan.cold_start_s
    time.sleep(usual if args.cold_start_s is None else args.cold_start_s)
    web.run_app(
        app,
        host=args.host,
        port=args.port,
        print=None,
        access_log=None,
        handler_cancellation=True,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
