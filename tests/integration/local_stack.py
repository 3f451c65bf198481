"""A whole local stack for tests: `r1 up` in a process, and what can be asked of it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r1.stack.home import Home
from r1.stack.leftovers import leftovers
from r1.stack.listeners import is_free
from r1.stack.plan import StackPlan
from r1.stack.ports import PortPlan, plan_ports
from r1.stack.processes import end_all
from r1.stack.status import StackStatus, load

ROOT = Path(__file__).parents[2]
# Two models are ready in under 90 s on two idle cores; a test machine may be busier.
START_LIMIT_S = float(os.environ.get("R1_TEST_START_LIMIT_S", "240"))
STEP_LIMIT_S = START_LIMIT_S
# Far below the ephemeral range and far from the default stack.
FIRST_BASE, LAST_BASE, STRIDE = 20000, 28000, 500


def free_base(taken: set[int] | None = None) -> int:
    """Return a port base whose single ports are all free."""
    for base in range(FIRST_BASE, LAST_BASE, STRIDE):
        if base not in (taken or set()) and all(
            is_free(port) for port in plan_ports(base).single_ports().values()
        ):
            return base
    raise AssertionError(f"no port base is free between {FIRST_BASE} and {LAST_BASE}")


def wait_for(what: str, condition: Callable[[], bool], limit_s: float = STEP_LIMIT_S) -> None:
    """Wait until a condition holds; fail with its name after the limit."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, f"waited in vain: {what}"
        time.sleep(0.1)


class LocalStack:
    """One stack with a state folder of its own."""

    def __init__(self, base: int, state: Path, *words: str) -> None:
        self.base = base
        self.words = words
        self.state = state
        self.home = Home.of(base, state)
        self.ports: PortPlan = plan_ports(base)
        self.up: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the commands: this stack, and no other endpoint."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
        return {**kept, "R1_STATE_DIR": str(self.state), "R1_PORT_BASE": str(self.base)}

    def r1(self, *words: str, limit_s: float = START_LIMIT_S) -> subprocess.CompletedProcess[str]:
        """Run a command of r1 against this stack."""
        return subprocess.run(
            [sys.executable, "-m", "r1", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    def start_detached(self) -> subprocess.CompletedProcess[str]:
        """Run `r1 up --detach` to its end."""
        return self.r1("up", "--detach", *self.words)

    def start_by_make(self) -> subprocess.CompletedProcess[str]:
        """Run the README's `make up`, detached. What it would install first is there."""
        words = ("make", "--assume-old=environment", "up")
        # This may itself run under make, which tells its children in these.
        told = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
        return subprocess.run(
            [*words, f"ARGS={' '.join(('--detach', *self.words))}"],
            cwd=ROOT,
            env={name: text for name, text in self.environment.items() if name not in told},
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )

    def start_in_foreground(self) -> None:
        """Start `r1 up` as a terminal would: in a process group of its own."""
        with (self.state / f"up-{self.base}.log").open("w") as log:
            self.up = subprocess.Popen(
                [sys.executable, "-m", "r1", "up", *self.words],
                env=self.environment,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def said(self) -> str:
        """What the foreground `r1 up` printed."""
        return (self.state / f"up-{self.base}.log").read_text()

    @property
    def status(self) -> StackStatus:
        """The status file."""
        status = load(self.home)
        assert status is not None
        return status

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as base_url."""
        return f"http://127.0.0.1:{self.ports.api}/v1"

    @property
    def key(self) -> str:
        """The local user's API key."""
        return self.home.user_key.read_text()

    def is_ready(self) -> bool:
        """Whether the stack says that it is ready."""
        return load(self.home) is not None and self.status.state == "ready"

    def ask(self, question: str, model: str = "deepseek-r1", **fields: Any) -> dict[str, Any]:
        """Ask one question, not streaming; return the answer's body."""
        body = {"model": model, "messages": [{"role": "user", "content": question}], **fields}
        request = urllib.request.Request(
            f"{self.base_url}/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=STEP_LIMIT_S) as response:
            answer: dict[str, Any] = json.loads(response.read())
        return answer

    def answers(self) -> bool:
        """Whether a question is answered."""
        try:
            return bool(self.ask("1 + 1", max_tokens=4)["choices"])
        except OSError:
            return False

    def left(self) -> list[int]:
        """Processes of this stack that run."""
        return leftovers(StackPlan.load(self.home))

    def taken_ports(self) -> dict[str, int]:
        """Ports of this stack that somebody listens on."""
        ports = self.ports.single_ports()
        return {name: port for name, port in ports.items() if not is_free(port)}

    def assert_gone(self) -> None:
        """Assert that no process and no port of this stack is left."""
        wait_for("all processes to end", lambda: self.left() == [], limit_s=60)
        assert self.taken_ports() == {}

    def stop(self) -> None:
        """End whatever is left, for a fixture's end."""
        if self.up is not None and self.up.poll() is None:
            self.up.send_signal(signal.SIGTERM)
            self.up.wait(STEP_LIMIT_S)
        if self.home.plan.exists():
            if load(self.home) is not None and self.status.is_alive():
                self.r1("down", "--now")
            end_all(self.left, 2.0)


@contextmanager
def detached(state: Path, *words: str, by_make: bool = False) -> Iterator[LocalStack]:
    """A stack that `r1 up --detach` or `make up` has started; it is ended in any case."""
    made = LocalStack(free_base(), state, *words)
    try:
        started = made.start_by_make() if by_make else made.start_detached()
        assert started.returncode == 0, started.stdout + started.stderr
        yield made
    finally:
        made.stop()
