"""How fast the simulated engine streams with timing off: `python -m loadtests.simulator`.

The engine must never be what a test of the gateway measures. Its speed is given in tokens per
second of its own CPU time, so that a busy machine does not change it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

from loadtests.stack import wait_healthy

if TYPE_CHECKING:
    from collections.abc import Sequence


async def drain(port: int, tokens: int) -> int:
    """Asks for one stream of `tokens` tokens and reads it to its end; returns its events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    question = {
        "model": "r1-nano",
        "messages": [{"role": "user", "content": f"question {id(writer)}"}],
        "stream": True,
        "ignore_eos": True,
        "max_tokens": tokens,
    }
    body = json.dumps(question).encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    events = 0
    while data := await reader.read(1 << 20):
        events += data.count(b'"logprobs"')
    writer.close()
    return events


async def speed(process: psutil.Process, port: int, users: int, tokens: int) -> tuple[float, float]:
    """Streamed tokens per second of the engine's CPU time, and per second of the clock."""
    began, used = time.monotonic(), sum(process.cpu_times()[:2])
    events = await asyncio.gather(*(drain(port, tokens) for _ in range(users)))
    if min(events) < tokens:
        raise RuntimeError(f"a stream had {min(events)} events instead of {tokens}")
    total = users * tokens
    used = sum(process.cpu_times()[:2]) - used
    return total / used, total / (time.monotonic() - began)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 if the engine is as fast as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=50_000, help="of each stream")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bar", type=float, default=150_000, help="tokens/s of CPU time")
    args = parser.parse_args(argv)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["--port", str(port), "--max-model-len", str(args.tokens + 1000)]
    words += ["--kv-tokens", str(args.users * (args.tokens + 1000))]
    with subprocess.Popen([sys.executable, "-m", "serving.simulator", *words]) as child:
        try:
            wait_healthy(f"http://127.0.0.1:{port}/health", child)
            process = psutil.Process(child.pid)
            rounds = [
                asyncio.run(speed(process, port, args.users, args.tokens))
                for _ in range(args.rounds)
            ]
        finally:
            child.terminate()
    for cpu, clock in rounds:
        print(f"{cpu:,.0f} tokens/s of CPU time, {clock:,.0f} tokens/s")
    median = sorted(cpu for cpu, _ in rounds)[len(rounds) // 2]
    print(f"median {median:,.0f} tokens/s of CPU time; the bar is {args.bar:,.0f}")
    return 0 if median >= args.bar else 1


if __name__ == "__main__":
    raise SystemExit(main())
