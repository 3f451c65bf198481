"""Runs a simulated engine: `python -m serving.simulator --port 8000 --model r1-nano`.

With R1_REGISTRY_URL in the environment (a Redis) it registers itself there like any replica.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web
from redis.asyncio import Redis

from serving.registry import Registry, Replica
from serving.simulator.blocks import Blocks
from serving.simulator.engine import Engine
from serving.simulator.faults import Controls
from serving.simulator.metrics import Metrics
from serving.simulator.scheduler import Limits
from serving.simulator.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence


def parser() -> argparse.ArgumentParser:
    """The command line."""
    line = argparse.ArgumentParser(prog="python -m serving.simulator", description=__doc__)
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--port", type=int, default=8000)
    line.add_argument("--model", action="append", help="a name served; repeat it (r1-nano)")
    line.add_argument("--key-file", type=Path, help="the engine key to ask for")
    line.add_argument("--max-model-len", type=int, default=4096, help="tokens of context")
    line.add_argument("--kv-tokens", type=int, default=262_144, help="tokens of KV cache")
    line.add_argument("--block-size", type=int, default=16, help="tokens of a KV block")
    line.add_argument("--max-num-seqs", type=int, default=256)
    line.add_argument("--max-num-batched-tokens", type=int, default=8192)
    line.add_argument("--tokens-per-step", type=int, default=1, help="more with MTP")
    line.add_argument("--step-ms", type=float, default=0.0, help="of a decode step")
    line.add_argument("--sequence-ms", type=float, default=0.0, help="more for each sequence")
    line.add_argument("--context-us", type=float, default=0.0, help="more for each KV token")
    line.add_argument("--prefill-us", type=float, default=0.0, help="for each prompt token")
    line.add_argument("--seed", type=int, default=0, help="of words and of chance")
    line.add_argument("--advertise", help="own URL for the registry, if there is one")
    line.add_argument("--record", action="store_true", help="keep requests for GET /seen")
    return line


def build(args: argparse.Namespace) -> Server:
    """The server that the command line asks for."""
    models = tuple(args.model or ("r1-nano",))
    context = args.max_model_len
    blocks = Blocks(-(-max(args.kv_tokens, context) // args.block_size), args.block_size)
    limits = Limits(args.max_num_seqs, args.max_num_batched_tokens, args.tokens_per_step)
    controls = Controls(
        step_s=args.step_ms / 1e3,
        per_sequence_s=args.sequence_ms / 1e3,
        per_context_token_s=args.context_us / 1e6,
        per_prefill_token_s=args.prefill_us / 1e6,
    )
    metrics = Metrics(models[0])
    engine = Engine(blocks, limits, lambda: server.controls.timing(), metrics)
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


def registered(url: str, replica: Replica) -> Callable[[web.Application], AsyncIterator[None]]:
    """Keeps a replica in the registry while the application runs."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        redis = Redis.from_url(url)
        keeping = asyncio.create_task(Registry(redis).keep(lambda: replica))
        yield
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await redis.aclose()

    return context


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until ended."""
    args = parser().parse_args(argv)
    server = build(args)
    app = server.app()
    registry = os.environ.get("R1_REGISTRY_URL")
    if registry:
        url = args.advertise or f"http://{args.host}:{args.port}"
        for model in server.models:
            replica = Replica(url, model, capacity=args.max_num_seqs)
            app.cleanup_ctx.append(registered(registry, replica))
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
