"""Measures what the project claims and records the figures in docs/benchmarks.md.

    python -m scripts.prove [NAME…]

Each proof runs its command on a machine that does nothing else. What it printed replaces what was
recorded under its name; a bar that was missed is recorded like any other figure, and the exit
status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from r1.stack.ports import plan_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
PORT_BASE = 12500
WEIGHTS = "serving/nano/weights"


@dataclass(frozen=True)
class Proof:
    """One measurement. `stack` holds the words of `r1 up` for those that need a running stack.

    In `command`, {url} is the gateway's address, {telemetry} the model plane's, {engine} that of
    Serve, below which each model has its own.
    """

    name: str
    command: str
    stack: tuple[str, ...] | None = None
    engine_key: bool = False


def parity(model: str) -> str:
    """The command that compares a served model with transformers."""
    return f"serving.nano.parity {WEIGHTS}/{model} --model {model} --url {{engine}}/{model}/v1"


def adapter(notation: str) -> Proof:
    """The accuracy of one of the adapters that ship."""
    name = f"r1-distill-nano-{notation}"
    command = f"serving.nano.evaluate {name} --notation {notation} --url {{url}}"
    return Proof(f"accuracy of {name}", command, ("--models", "r1-distill-nano", *ADAPTERS))


ADAPTERS = ("--adapter", "r1-distill-nano-hex", "--adapter", "r1-distill-nano-money")
PLOTS = "--out docs/plots"
COMPARE = f"r1 bench compare gateways --install {PLOTS}"
PROOFS = (
    Proof("accuracy of r1-nano", "serving.nano.evaluate r1-nano --url {url}", ()),
    Proof("accuracy of r1-distill-nano", "serving.nano.evaluate r1-distill-nano --url {url}", ()),
    adapter("hex"),
    adapter("money"),
    Proof("parity of r1-nano", parity("r1-nano"), (), engine_key=True),
    Proof("parity of r1-distill-nano", parity("r1-distill-nano"), (), engine_key=True),
    Proof(
        "parity of r1-nano at TP 2 and EP 2",
        parity("r1-nano"),
        ("--models", "r1-nano", "--tp", "2", "--ep"),
        engine_key=True,
    ),
    Proof(
        "parity of r1-nano at DP 2 and EP 2",
        parity("r1-nano"),
        ("--models", "r1-nano", "--dp", "2", "--ep"),
        engine_key=True,
    ),
    Proof("cold starts", "serving.telemetry.starts {telemetry}", ()),
    Proof("gguf: r1-distill-nano in Ollama", "scripts.gguf"),
    Proof("the local stack beside vLLM's own server", "loadtests.stack"),
    Proof("offline batches beside vLLM's own server", "loadtests.batch --requests 160 --rounds 2"),
    Proof("batch windows on a simulated engine", "r1.fleet"),
    Proof("small fleets of the 671B, simulated", "r1.fleet.scale --size small"),
    Proof("large fleets of the 671B, simulated", "r1.fleet.scale"),
    Proof("what choices cost a worker", "r1.fleet.scale.costs"),
    Proof("batch windows on the real engine", "loadtests.windows"),
    Proof("predicted against published figures", "serving.plan.calibrate"),
    Proof("queueing of the plan against a real engine", "tests.integration.plan.nano"),
    Proof("callers who leave", "tests.contract.leavers 10000"),
    Proof("fuzzed requests", "tests.contract.safety.fuzz 100000"),
    Proof("timing of key checks", "tests.contract.safety.timing 10000"),
    Proof("streams of killed engines", "tests.integration.resume.kills 50"),
    Proof("speed of the simulated engine", "loadtests.simulator"),
    Proof("gateways side by side", "loadtests.gateways"),
    Proof("gateways compared: calls", f"{COMPARE} --cases short,8k,cache,auth"),
    Proof("gateways compared: faults", f"{COMPARE} --cases failing,slow"),
    Proof("gateways compared: 500 streams", f"{COMPARE} --cases streams-500 --rounds 2"),
    Proof("gateways compared: 1,000 streams", f"{COMPARE} --cases streams-1000 --rounds 2"),
    Proof("engines compared", f"r1 bench compare engines --rounds 2 {PLOTS}"),
    Proof("what metrics cost a gateway", "tests.contract.metrics_cost"),
    Proof("overload", "loadtests.overload"),
    Proof("memory of the gateway", "loadtests.gateways.soak"),
    Proof("faults and what they cost callers", "loadtests.chaos"),
    Proof("an hour of random faults", "loadtests.soak --minutes 60"),
    Proof("releases in a cluster, under traffic", "tests.e2e.measure"),
)


@contextlib.contextmanager
def stack(words: Sequence[str]) -> Iterator[dict[str, str]]:
    """A running `r1 up`; the environment and addresses for those who ask it."""
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, "R1_STATE_DIR": state}
        base = ("--port-base", str(PORT_BASE))

        def r1(*command: str) -> str:
            return subprocess.run(
                [sys.executable, "-m", "r1", *command, *base],
                cwd=ROOT,
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout

        r1("up", "--detach", *words)
        try:
            exports = dict(re.findall(r"export (\w+)=(\S+)", r1("env")))
            (key,) = Path(state).rglob("engine.key")
            yield {
                **{name: shlex.split(value)[0] for name, value in exports.items()},
                "engine": f"http://127.0.0.1:{plan_ports(PORT_BASE).serve}",
                "telemetry": f"http://127.0.0.1:{plan_ports(PORT_BASE).telemetry}",
                "engine_key": key.read_text().strip(),
            }
        finally:
            r1("down", "--now")


def run(proof: Proof, running: Mapping[str, str] | None) -> tuple[int, str]:
    """Exit status and standard output of a proof's command."""
    environment, command = dict(os.environ), proof.command
    if running is not None:
        environment["OPENAI_API_KEY"] = running[
            "engine_key" if proof.engine_key else "OPENAI_API_KEY"
        ]
        command = command.format(
            url=running["OPENAI_BASE_URL"],
            engine=running["engine"],
            telemetry=running["telemetry"],
        )
    print(f"== {proof.name}: python -m {command}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(done.stdout, flush=True)
    return done.returncode, done.stdout.strip()


def recorded(page: str, proof: Proof, output: str, today: str, machine: str) -> str:
    """The page with a proof's section replaced, or added at the end."""
    begin, end = f"<!-- proof: {proof.name} -->", "<!-- end -->"
    command = proof.command.format(
        url="$OPENAI_BASE_URL", engine="http://127.0.0.1:8000", telemetry="http://127.0.0.1:8082"
    )
    where = "" if proof.stack is None else f", on `{' '.join(('r1 up', *proof.stack))}`"
    # A table is left to Markdown, whatever else was printed is kept as it was.
    text, bar, table = f"\n{output}".partition("\n|")
    body = "\n\n".join(
        part for part in (f"```\n{text.strip()}\n```" * bool(text.strip()), bar[1:] + table) if part
    )
    section = (
        f"{begin}\n## {proof.name[0].upper()}{proof.name[1:]}\n\n"
        f"`python -m {command}`{where}; {today}, {machine}.\n\n{body}\n{end}"
    )
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(page):
        return pattern.sub(lambda _: section, page)
    return f"{page.rstrip()}\n\n{section}\n"


def machine() -> str:
    """What ran it: cores and architecture, no name."""
    return f"{os.cpu_count()} cores, {platform.machine()}"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 if every bar was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="proofs, by the start of a name")
    args = parser.parse_args(argv)
    chosen = [p for p in PROOFS if not args.names or p.name.startswith(tuple(args.names))]
    if not chosen:
        parser.error("no such proof; there are: " + "; ".join(p.name for p in PROOFS))
    missed = []
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    for words in dict.fromkeys(proof.stack for proof in chosen):
        needed = contextlib.nullcontext(None) if words is None else stack(words)
        with needed as running:
            for proof in chosen:
                if proof.stack == words:
                    status, output = run(proof, running)
                    PAGE.write_text(
                        recorded(PAGE.read_text("utf-8"), proof, output, today, machine()), "utf-8"
                    )
                    missed += [proof.name] if status else []
    if missed:
        print("missed: " + "; ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
