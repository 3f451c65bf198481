"""Counts how often r1-distill-nano is right in each GGUF type, through a real Ollama.

    python -m scripts.gguf [--count N]

Held-out questions of the whole distribution, the same for all types, greedy. Exit status 1 if a
type misses the bar.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from openai import AsyncOpenAI

from scripts.ollama import MISSING, Ollama, program
from serving.nano import data
from serving.nano.evaluate import Score, score
from serving.nano.export_gguf import MODEL, TYPES, write

BAR = 0.95


async def ask(ollama: Ollama, model: str, examples: Sequence[data.Example]) -> Score:
    """The score of one model."""
    async with AsyncOpenAI(base_url=ollama.url + "/v1", api_key="none", max_retries=0) as client:
        return await score(client, model, examples, model, temperature=0.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 if every type reached the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="questions for each type")
    args = parser.parse_args(argv)
    rng = random.Random(2026)
    examples = [data.draw(rng, held_out=True) for _ in range(args.count)]
    reached = True
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        executable, port = program(folder), probe.getsockname()[1]
        probe.close()
        if executable is None:
            print(MISSING, file=sys.stderr)
            return 1
        ollama = Ollama(executable, folder / "home", port)
        try:
            print("| type | KiB | right | of |\n|---|---|---|---|")
            for kind in TYPES:
                modelfile = write(folder, kind)
                ollama.create(f"{MODEL}:{kind}", modelfile)
                result = asyncio.run(ask(ollama, f"{MODEL}:{kind}", examples))
                size = (folder / f"{MODEL}-{kind}.gguf").stat().st_size // 1024
                right = result.right.total()
                print(f"| {kind} | {size:,} | {right} | {args.count} |", flush=True)
                reached &= result.share >= BAR
        finally:
            ollama.end()
    print(f"\nThe bar is {BAR:.0%}.")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
