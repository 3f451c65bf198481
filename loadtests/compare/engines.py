"""r1 whole beside vLLM's own server and Ray Serve LLM's default ingress, on the real engine.

All three serve the same nano model with the same arguments of the engine. They share the cores, so
in a server's turn the others are stopped; the turns are interleaved.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import aiohttp
import psutil

from loadtests.compare.report import Section
from loadtests.compare.samples import Figure, Samples, order
from loadtests.compare.turns import Tree, alone
from loadtests.gateways.report import Bar
from loadtests.gateways.targets import free_port
from loadtests.side_by_side import requests
from loadtests.stack import bare_engine, r1_command, wait_healthy, whole_stack
from loadtests.streams import Round, Target, run_round

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODEL = "r1-nano"
USERS = (1, 4, 16, 64)
TOKENS = 128
BARE, INGRESS, R1 = "vLLM's own server", "default ingress", "r1"
_EVERYWHERE = f"arguments of the engine: those of `r1 engine-args {MODEL} --hardware cpu`"
SETTINGS = f"""\
| server | how it is run |
|---|---|
| {BARE} | `vllm.entrypoints.launchers.api_server.entry`; {_EVERYWHERE} |
| {INGRESS} | `ray.serve.llm.build_openai_app`, else as by default; the same arguments |
| {R1} | `r1 up --models {MODEL}`: two gateway workers, a key, Redis; the same arguments |

On the CPU; answers of {TOKENS} tokens, streamed. In a server's turn the others are stopped."""


@dataclass(frozen=True)
class Side:
    """A server and the processes that are it."""

    target: Target
    tree: Tree


def figures(users: Sequence[int]) -> dict[str, tuple[Figure, ...]]:
    """The columns of each table: one for each number of users."""
    return {
        "tokens": tuple(Figure(f"tokens_{n}", f"{n} at once, tok/s", "more") for n in users),
        "ttft": tuple(Figure(f"ttft_{n}", f"{n} at once, p50 ms", "less", 1) for n in users),
        "tail": tuple(Figure(f"tail_{n}", f"{n} at once, p99 ms", "less", 1) for n in users),
    }


def of_round(found: Round) -> dict[str, float]:
    """A round's figures."""
    ttft = sorted(each.ttft * 1000 for each in found.streams)
    return {
        f"tokens_{found.users}": found.tokens_per_second,
        f"ttft_{found.users}": median(ttft),
        f"tail_{found.users}": ttft[min(len(ttft) - 1, int(0.99 * len(ttft)))],
    }


def bars(samples: Samples, users: Sequence[int]) -> list[Bar]:
    """r1 against the two others, by their medians."""

    def ratio(other: str, figure: Figure) -> float:
        ours, theirs = samples.summary(R1, figure), samples.summary(other, figure)
        return ours.median / theirs.median if ours and theirs and theirs.median else 0.0

    found = []
    columns = figures(users)
    for count, speed, ttft in zip(users, columns["tokens"], columns["ttft"], strict=True):
        if count == 16:
            whole = ratio(BARE, speed)
            claim = f"16 at once: ≥ 0.95 of the tokens/s of {BARE}"
            found.append(Bar(claim, f"{whole:.2f}", whole >= 0.95))
        faster, sooner = ratio(INGRESS, speed), ratio(INGRESS, ttft)
        claim = f"{count} at once: more tokens/s than the {INGRESS}"
        found.append(Bar(claim, f"{faster:.2f} ×", faster > 1))
        claim = f"{count} at once: TTFT p50 below the {INGRESS}'s"
        found.append(Bar(claim, f"{sooner:.2f} ×", 0 < sooner < 1))
    return found


def compare(users: Sequence[int], rounds: int, base: int) -> tuple[list[Section], list[Bar]]:
    """Start all three, measure them in turns, end them; `base` is r1's first port."""
    with contextlib.ExitStack() as stack:
        sides = {
            BARE: _bare(stack),
            INGRESS: _ingress(stack),
            R1: _r1(stack, base),
        }
        samples = asyncio.run(_rounds(sides, users, rounds))
    titles = {
        "tokens": "Output tokens a second",
        "ttft": "TTFT p50",
        "tail": "TTFT p99",
    }
    sections = [
        Section(f"engines-{name}", titles[name], columns, list(sides), samples)
        for name, columns in figures(users).items()
    ]
    return sections, bars(samples, users)


def _bare(stack: contextlib.ExitStack) -> Side:
    port = free_port()
    pid = stack.enter_context(bare_engine(MODEL, port))
    return Side(Target(BARE, f"http://127.0.0.1:{port}/v1", MODEL), Tree(pid))


def _ingress(stack: contextlib.ExitStack) -> Side:
    port = free_port()
    pid = stack.enter_context(default_ingress(MODEL, port))
    return Side(Target(INGRESS, f"http://127.0.0.1:{port}/v1", MODEL), Tree(pid))


def _r1(stack: contextlib.ExitStack, base: int) -> Side:
    state = stack.enter_context(tempfile.TemporaryDirectory())
    status = stack.enter_context(whole_stack(base, state, "--models", MODEL))
    told = r1_command("env", "--port-base", str(base), state=state)
    key = told.rpartition("=")[2].strip().strip("'")
    target = Target(R1, f"http://127.0.0.1:{status['ports']['api']}/v1", MODEL, key)
    return Side(target, Tree(status["guard_pid"]))


@contextlib.contextmanager
def default_ingress(model: str, port: int) -> Iterator[int]:
    """Ray Serve LLM's default ingress in front of one replica; its process id."""
    words = [sys.executable, "-m", "r1", "engine-args", model, "--hardware", "cpu", "--json"]
    derived = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        file = Path(folder) / "engine.json"
        file.write_text(derived, "utf-8")
        command = [sys.executable, "-m", "loadtests.compare.ingress", str(file)]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(
                [*command, "--port", str(port), "--temp", folder], stdout=log, stderr=log
            )
        try:
            wait_healthy(f"http://127.0.0.1:{port}/v1/models", server)
            yield server.pid
        finally:
            children = psutil.Process(server.pid).children(recursive=True)
            server.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(60)
            server.kill()
            server.wait()
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


async def _rounds(sides: dict[str, Side], users: Sequence[int], rounds: int) -> Samples:
    """In a server's turn all numbers of users, one after the other."""
    samples, trees = Samples(), [each.tree for each in sides.values()]
    timeout = aiohttp.ClientTimeout(total=300)
    for number in range(rounds):
        for name in order(list(sides), number):
            print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
            side, found = sides[name], dict[str, float]()
            connector = aiohttp.TCPConnector(limit=0)
            with alone(side.tree, trees):
                async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                    await _awake(session, side.target)
                    for count in users:
                        bodies = requests(max(4, 4 * count), TOKENS, 1000 + number)
                        found |= of_round(await run_round(session, side.target, bodies, count))
            samples.note(name, found)
    return samples


async def _awake(session: aiohttp.ClientSession, target: Target) -> None:
    """Until a server that was stopped answers again, and its engine is warm.

    Raises RuntimeError or aiohttp.ClientError if it does not within a minute.
    """
    until = asyncio.get_running_loop().time() + 60
    while True:
        try:
            await run_round(session, target, requests(8, 32, 0), 4)
            return
        except (RuntimeError, aiohttp.ClientError):
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(0.5)
