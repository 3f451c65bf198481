"""Compares servers in one run: interleaved rounds, the same requests, medians and ratios.

    python -m loadtests.side_by_side \\
        --target bare=http://127.0.0.1:9000/v1,r1-nano \\
        --target r1=http://127.0.0.1:8080/v1,r1-nano,r1-key --users 1,4,16

A target is NAME=URL,MODEL[,KEY]; instead of a key, `env:VARIABLE` reads it from the environment.
The first target is the base of the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
from statistics import median
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from loadtests.streams import Round, Target, run_round

if TYPE_CHECKING:
    from collections.abc import Sequence


def requests(count: int, tokens: int, seed: int) -> list[dict[str, Any]]:
    """Different questions, all answered with exactly `tokens` tokens."""
    rng = random.Random(seed)
    return [
        {
            "messages": [
                {
                    "role": "user",
                    "content": f"What is {rng.randint(0, 9999)} + {rng.randint(0, 9999)}?",
                }
            ],
            "max_tokens": tokens,
            "ignore_eos": True,
            "temperature": 0.6,
            "top_p": 0.95,
        }
        for _ in range(count)
    ]


async def compare(
    targets: Sequence[Target],
    users: Sequence[int],
    *,
    rounds: int,
    requests_a_user: int,
    tokens: int,
) -> list[Round]:
    """Runs every load on every target in turn, `rounds` times, after one warm-up each."""
    out: list[Round] = []
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        for target in targets:
            await run_round(session, target, requests(max(users), tokens, 0), max(users))
        for number in range(rounds):
            for count in users:
                bodies = requests(max(4, requests_a_user * count), tokens, 1000 + number)
                # The order alternates, so that a drift of the machine favours nobody.
                order = list(targets) if number % 2 == 0 else list(reversed(targets))
                out += [await run_round(session, target, bodies, count) for target in order]
    return out


def table(rounds: Sequence[Round], base: str) -> str:
    """A Markdown table: medians over the rounds, the range of tokens/s, and the ratio to `base`."""
    lines = [
        "| users | server | output tok/s (range) | of " + base + " | TTFT p50 ms | added ms |",
        "|---|---|---|---|---|---|",
    ]
    for users in sorted({r.users for r in rounds}):
        mine = [r for r in rounds if r.users == users]
        speed_of_base = median(r.tokens_per_second for r in mine if r.target == base)
        ttft_of_base = _ttft([r for r in mine if r.target == base])
        for name in dict.fromkeys(r.target for r in mine):
            own = [r for r in mine if r.target == name]
            speeds = [r.tokens_per_second for r in own]
            ttft = _ttft(own)
            lines.append(
                f"| {users} | {name} | {median(speeds):.0f} ({min(speeds):.0f}–{max(speeds):.0f}) "
                f"| {median(speeds) / speed_of_base:.2f} | {ttft * 1000:.1f} "
                f"| {(ttft - ttft_of_base) * 1000:+.1f} |"
            )
    return "\n".join(lines)


def _ttft(rounds: Sequence[Round]) -> float:
    return median(stream.ttft for r in rounds for stream in r.streams)


def parse_target(text: str) -> Target:
    """NAME=URL,MODEL[,KEY]. Raises argparse.ArgumentTypeError that says what is missing."""
    name, _, rest = text.partition("=")
    parts = rest.split(",")
    if not name or len(parts) not in (2, 3):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=URL,MODEL[,KEY]")
    key = parts[2] if len(parts) == 3 else "none"
    if key.startswith("env:"):
        variable = key.removeprefix("env:")
        if variable not in os.environ:
            raise argparse.ArgumentTypeError(f"{name}: the variable {variable} is not set")
        key = os.environ[variable]
    return Target(name, parts[0], parts[1], key)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; prints the table, and with --json writes every stream."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--target", action="append", type=parse_target, required=True)
    parser.add_argument("--users", default="1,4,16", help="numbers of users, by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4, help="requests a user and round")
    parser.add_argument("--tokens", type=int, default=128, help="length of every answer")
    parser.add_argument("--json", metavar="FILE", help="writes every stream there")
    args = parser.parse_args(argv)
    rounds = asyncio.run(
        compare(
            args.target,
            [int(n) for n in args.users.split(",")],
            rounds=args.rounds,
            requests_a_user=args.requests,
            tokens=args.tokens,
        )
    )
    if args.json:
        with open(args.json, "wb") as file:
            file.write(orjson.dumps(rounds))
    cut = [s for r in rounds for s in r.streams if not s.complete or s.tokens != args.tokens]
    print(table(rounds, args.target[0].name))
    if cut:
        print(f"{len(cut)} streams were cut or had another length: the table is not valid")
    return 1 if cut else 0


if __name__ == "__main__":
    raise SystemExit(main())
