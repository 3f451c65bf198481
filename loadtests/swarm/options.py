"""What a swarm can be told, on Locust's command line or in the environment."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtests.bench.slo import Slo
from loadtests.client.ask import Target
from loadtests.load.lengths import CONVERSATION, Lengths
from loadtests.load.shapes import Shape
from loadtests.load.trace import Arrival, play, read
from loadtests.users.keys import key_for
from loadtests.users.kinds import KINDS, Mix

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser

ALL = ",".join(KINDS)


@dataclass(frozen=True)
class Options:
    """All of them, checked."""

    target: Target
    mix: Mix
    lengths: Lengths
    slo: Slo | None = None
    out: Path | None = None
    shape: Shape | None = None
    seconds: float = 60.0
    rate: float = 0.0
    trace: tuple[Arrival, ...] = ()
    workers: int = 1
    think_s: float = 1.0
    timeout_s: float = 600.0
    forced: bool = True
    seed: int = 1
    keys: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, given: Namespace) -> Options:
        """Check the command line. Raises ValueError or OSError that says what is wrong."""
        if not given.host:
            raise ValueError("--host: where is the server? give http://HOST:PORT/v1")
        keys = dict(key_for(each) for each in filter(None, given.key_for.split(",")))
        key = Path(given.key_file).read_text("utf-8").strip() if given.key_file else ""
        if given.seconds <= 0 or given.workers < 1 or given.rate < 0:
            raise ValueError("--seconds and --workers are above 0, --rate is not below it")
        calls = play(
            read(Path(given.trace)) if given.trace else [],
            speed=given.speed,
            seconds=given.seconds,
            most=given.most_calls,
        )
        return cls(
            target=Target(given.host.rstrip("/"), given.model, key, keys),
            mix=Mix.parse(given.mix),
            lengths=Lengths.of(
                Path(given.lengths), prompt=given.longest_prompt, answer=given.longest_answer
            ),
            slo=Slo.load(Path(given.slo)) if given.slo else None,
            out=Path(given.out) if given.out else None,
            shape=Shape.parse(given.shape) if given.shape else None,
            seconds=given.seconds,
            rate=given.rate,
            trace=tuple(calls),
            workers=given.workers,
            think_s=given.think,
            timeout_s=given.timeout,
            forced=not given.natural_ends,
            seed=given.seed,
        )


def add_options(parser: LocustArgumentParser) -> None:
    """Add them to Locust's own; each is also a variable R1_LOAD_NAME of the environment."""
    group = parser.add_argument_group("r1", "What the users of r1's load tests do.")

    def add(name: str, usual: Any, text: str, **more: Any) -> None:
        variable = f"R1_LOAD_{name.upper().replace('-', '_')}"
        kind = {} if isinstance(usual, bool) else {"type": type(usual)}
        group.add_argument(
            f"--{name}",
            default=usual,
            env_var=variable,
            help=f"{text} ({variable})",
            **kind,
            **more,
        )

    add("model", "deepseek-r1", "the model that is asked")
    add("key-file", "", "a file with the API key")
    add("key-for", "", "keys of kinds of users: abusive=FILE,batch=FILE")
    add("mix", ALL, "kinds of users and their weights: chat=3,reasoning")
    add("shape", "", "users over time: steps:1,4,16, ramp:1,64, spike:4,40, day:2,30, soak:8")
    add("seconds", 60.0, "how long the shape or the trace goes")
    add("rate", 0.0, "open load: every user brings so many callers a second (Poisson)")
    add("trace", "", "a trace to replay: Azure's, BurstGPT's or Mooncake's")
    add("speed", 1.0, "of the trace's time")
    add("workers", 1, "processes that share the trace")
    add("most-calls", 100_000, "of the trace")
    add("think", 1.0, "mean pause of users in seconds")
    add("timeout", 600.0, "seconds for a whole answer")
    add("lengths", str(CONVERSATION), "a trace whose lengths are drawn")
    add("longest-prompt", 1024, "tokens")
    add("longest-answer", 256, "tokens")
    add(
        "natural-ends",
        False,
        "don't send ignore_eos, which not all servers know",
        action="store_true",
    )
    add("seed", 1, "of everything that is drawn")
    add("slo", "", "gates as YAML, which make the exit status")
    add("out", "", "a folder for report.json, report.html and calls.jsonl")
