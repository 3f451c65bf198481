"""`r1 batch run` against vLLM's own server: the same requests, on the same engine's arguments.

    python -m loadtests.batch

Takes turns: the server answers all requests, 40 at a time (what a batch keeps an engine busy with,
for 32 that decode together); then the batch does. Times begin when the engine is ready, so no start
is in them. Needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from loadtests.side_by_side import requests
from loadtests.stack import bare_engine

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_ONCE = 40


async def ask(url: str, bodies: Sequence[dict[str, Any]]) -> float:
    """Tokens a second of a server that is asked all, `AT_ONCE` at a time."""
    places = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(raise_for_status=True, timeout=timeout) as session:

        async def one(body: dict[str, Any]) -> int:
            async with places, session.post(f"{url}/v1/chat/completions", json=body) as response:
                return int((await response.json())["usage"]["completion_tokens"])

        await one(bodies[0])
        began = time.monotonic()
        tokens = sum(await asyncio.gather(*(one(body) for body in bodies)))
        return tokens / (time.monotonic() - began)


def batch(folder: Path, bodies: Sequence[dict[str, Any]], *words: str) -> float:
    """Tokens a second of a batch of the same requests, as it says itself."""
    lines = [
        {"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions", "body": body}
        for n, body in enumerate(bodies)
    ]
    source, output = folder / "in.jsonl", folder / "out.jsonl"
    source.write_text("\n".join(map(json.dumps, lines)))
    done = subprocess.run(
        [sys.executable, "-m", "r1", "batch", "run", str(source), str(output), *words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    output.unlink()
    found = re.search(r"generated in [\d.,]+ s: ([\d,]+) tokens/s", done.stdout)
    if found is None:
        raise RuntimeError(f"the batch said something else: {done.stdout}")
    return float(found[1].replace(",", ""))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="r1-nano")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=12090)
    args = parser.parse_args(argv)
    bodies = [
        {**body, "model": args.model} for body in requests(args.requests, args.tokens, seed=1)
    ]
    # Both engines run their worker in their own process: vLLM's server does so on CPUs only then.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    print("| round | server, tokens/s | batch, tokens/s | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, args.rounds + 1):
            with bare_engine(args.model, args.port):
                server = asyncio.run(ask(f"http://127.0.0.1:{args.port}", bodies))
            told = batch(Path(folder), bodies)
            print(f"| {number} | {server:,.0f} | {told:,.0f} | {told / server:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
