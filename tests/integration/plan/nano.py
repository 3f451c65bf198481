"""Compares what the queueing layer says with what callers of a real engine see.

    python -m tests.integration.plan.nano [--seconds 60]

vLLM's own server runs r1-distill-nano. First its steps are measured: answers of several numbers of
users, who ask all the time, and single prompts of several lengths. From these times alone the
queueing layer predicts TTFT and E2E for random arrivals at two loads; then the loads are played and
compared. Needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp

from serving.plan.load import Lengths, Load
from serving.plan.measured import Measured, line
from serving.plan.outlook import Outlook, outlook
from tests.integration.resume.kills import Engine

MODEL = "r1-distill-nano"
PROMPT, ANSWER = Lengths(120, 0.3), Lengths(120, 0.4)
SEQUENCES, STEP_TOKENS, KV_TOKENS = 32, 2048, 16_384
BATCHES = (1, 2, 4, 8, 16)
PROMPTS = (40, 400, 1200)
ROUNDS = 7
WARM_RATE, WARM_S = 8.0, 45.0
"""Requests a second, and seconds."""
LOADS = (0.35, 0.6)
"""Shares of the requests a second that a batch of 16 ends."""
BAR = 0.2
SHARES = (0.5, 0.9)


@dataclass
class Times:
    """Of one request, in seconds from when it was asked."""

    first: float
    last: float
    tokens: int

    @property
    def tpot(self) -> float:
        """Time per output token."""
        return (self.last - self.first) / max(1, self.tokens - 1)


class Caller:
    """Asks the engine for answers of a given length to prompts that nobody else asks."""

    def __init__(self, session: aiohttp.ClientSession, url: str, seed: int) -> None:
        self._session = session
        self._url = url + "/v1/completions"
        self._rng = random.Random(seed)

    async def ask(self, prompt: int, answer: int) -> Times:
        """One answer, streamed."""
        tokens = [self._rng.randrange(20, 200) for _ in range(prompt)]
        body = {
            "model": MODEL, "prompt": tokens, "max_tokens": answer, "ignore_eos": True,
            "stream": True, "temperature": 1.0,
        }  # fmt: skip
        asked, first = time.perf_counter(), 0.0
        async with self._session.post(self._url, json=body) as response:
            response.raise_for_status()
            async for piece in response.content.iter_any():
                if not first and b'"text"' in piece:
                    first = time.perf_counter()
        return Times(first - asked, time.perf_counter() - asked, answer)

    def drawn(self, lengths: Lengths) -> int:
        """A number of tokens."""
        centre = math.log(lengths.mean) - lengths.spread**2 / 2
        return max(2, min(1000, round(self._rng.lognormvariate(centre, lengths.spread))))


async def measured(caller: Caller) -> Measured:
    """The engine's times, from answers to it alone."""
    # A CPU engine is slow at each size of a step that it meets for the first time, and random
    # arrivals make hundreds of sizes: it is to have met them before anything is measured.
    await play(caller, WARM_RATE, WARM_S)
    tpots: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    waits: dict[int, list[float]] = {prompt: [] for prompt in PROMPTS}
    # In turns, so that a moment in which the machine is busy spoils all of them a little.
    for _ in range(ROUNDS):
        for batch in BATCHES:
            answers = await asyncio.gather(*(caller.ask(30, 150) for _ in range(batch)))
            tpots[batch] += [each.tpot for each in answers]
        for prompt in PROMPTS:
            waits[prompt] += [(await caller.ask(prompt, 2)).first for _ in range(3)]
    steps = [(float(batch), median(times)) for batch, times in tpots.items()]
    firsts = [(float(prompt), median(times)) for prompt, times in waits.items()]
    for many, seconds in steps:
        print(f"{many:3.0f} at once: {seconds * 1e3:.2f} ms a step", flush=True)
    for many, seconds in firsts:
        print(f"a prompt of {many:.0f} tokens: {seconds * 1e3:.2f} ms", flush=True)
    step_s, per_sequence_s = line(steps)
    alone_s, per_prefill_token_s = line(firsts)
    request_s = max(0.0, alone_s - step_s)
    return Measured(
        step_s, per_sequence_s, per_prefill_token_s, request_s, SEQUENCES, STEP_TOKENS, KV_TOKENS
    )


async def play(caller: Caller, rate: float, seconds: float) -> list[Times]:
    """Random arrivals for so long; what comes in the first sixth does not count."""
    running: list[asyncio.Task[Times]] = []
    counted: list[asyncio.Task[Times]] = []
    began, rng = time.perf_counter(), random.Random(7)
    due = began
    while (now := time.perf_counter()) < began + seconds:
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - now))
        prompt, answer = caller.drawn(PROMPT), caller.drawn(ANSWER)
        task = asyncio.create_task(caller.ask(prompt, answer))
        running.append(task)
        if now > began + seconds / 6:
            counted.append(task)
    await asyncio.gather(*running)
    return [task.result() for task in counted]


def rows(name: str, seen: list[Times], told: Outlook) -> list[tuple[str, float, float]]:
    """Each quantile: its name, what was seen and what was predicted, in milliseconds."""
    found = []
    for share in SHARES:
        place = int(share * len(seen))
        for what, times, at in (
            ("TTFT", sorted(each.first for each in seen), told.ttft_s),
            ("E2E", sorted(each.last for each in seen), told.e2e_s),
        ):
            label = f"{name}, {what} p{share * 100:g}"
            found.append((label, times[place] * 1e3, at(share) * 1e3))
    return found


async def compare(url: str, seconds: float) -> list[tuple[str, float, float]]:
    """All rows."""
    found = []
    timeout = aiohttp.ClientTimeout(total=300)
    # vLLM's server closes a connection that was idle for 5 s, perhaps as it is used again.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        caller = Caller(session, url, seed=1)
        engine = await measured(caller)
        print(
            f"a step takes {engine.step_s * 1e3:.2f} ms + {engine.per_sequence_s * 1e3:.3f} a "
            f"sequence + {engine.per_prefill_token_s * 1e6:.1f} us a prompt token, a request "
            f"{engine.request_s * 1e3:.2f} ms",
            flush=True,
        )
        full = 16 / (ANSWER.mean * (engine.step_s + 16 * engine.per_sequence_s))
        for share in LOADS:
            rate = share * full
            load = Load(requests_per_s=rate, prompt=PROMPT, answer=ANSWER)
            told = outlook(engine, load)
            if told is None:
                raise RuntimeError(f"{rate:.1f} requests/s are more than the engine serves")
            seen = await play(caller, rate, seconds)
            found += rows(f"{rate:.1f} requests/s", seen, told)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 1 if a prediction is further off than the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="n") as folder:
        engine = Engine(Path(folder), folder, MODEL)
        try:
            engine.wait_ready()
            found = asyncio.run(compare(engine.url, args.seconds))
        finally:
            engine.kill()
    within = 0
    print("\n| load | seen ms | predicted ms | error |\n|---|---|---|---|")
    for name, seen, told in found:
        within += abs(told / seen - 1) <= BAR
        print(f"| {name} | {seen:.1f} | {told:.1f} | {told / seen - 1:+.0%} |")
    print(f"| within {BAR:.0%} | {within} of {len(found)} | | |")
    return int(within < len(found))


if __name__ == "__main__":
    raise SystemExit(main())
