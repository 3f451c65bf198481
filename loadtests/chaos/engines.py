"""The model servers that are disturbed: simulated ones, or vLLM's own with a nano model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.gateways.targets import answers, counted, free_port, wait_until

if TYPE_CHECKING:
    from loadtests.chaos.processes import Child, Keeper

MODEL = "r1-nano"
START_S = 300.0
"""Most that a model server, or a gateway, takes to start on a busy machine."""
STEP_MS = 10.0
"""Of a simulated decode step: a stream has 100 tokens/s."""
_SERVER = "vllm.entrypoints.launchers.api_server.entry"


@dataclass(frozen=True)
class Command:
    """How a model server is started; its address is added."""

    words: tuple[str, ...]
    environment: dict[str, str]

    @staticmethod
    def simulated() -> Command:
        """A simulated engine whose short answers have 30 tokens."""
        lengths = ("--reasoning-tokens", "20", "--content-tokens", "10")
        pace = ("--step-ms", str(STEP_MS))
        return Command(("-m", "serving.simulator", "--model", MODEL, *pace, *lengths), {})

    @staticmethod
    def real(scratch: str) -> Command:
        """vLLM's own server on the CPU. `scratch`: a short path, for its sockets."""
        told = subprocess.check_output(
            [sys.executable, "-m", "r1", "engine-args", MODEL, "--hardware", "cpu", "--json"]
        )
        derived = json.loads(told)
        places = {"TMPDIR": scratch, "VLLM_RPC_BASE_PATH": scratch}
        return Command(("-m", _SERVER, *derived["argv"]), {**derived["environment"], **places})


class Engine:
    """One model server, which can be killed and started again at the same port."""

    def __init__(self, keeper: Keeper, name: str, command: Command) -> None:
        """Begins to start it."""
        self.name = name
        self.port = free_port()
        self._keeper = keeper
        self._command = command
        self._child: Child
        self.start()

    def start(self) -> None:
        """Begin to start it."""
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        command = [sys.executable, *self._command.words, *address]
        self._child = self._keeper.spawn(self.name, command, self._command.environment)

    def wait_ready(self) -> None:
        """Until it answers. Raises CannotStart."""
        wait_until(lambda: answers(self.port, "/health"), self._child.process, self.name, START_S)

    def pids(self) -> list[int]:
        """Of all its processes."""
        return [each.pid for each in self._child.tree()]

    def running(self) -> float:
        """Requests that it works on at the moment."""
        return sum(counted(self.port, "vllm:num_requests_running", "model_name").values())

    def kill(self) -> None:
        """SIGKILL to all its processes."""
        self._child.kill()

    def freeze(self) -> None:
        """Stop all its processes where they are."""
        self._child.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have them go on."""
        self._child.send(signal.SIGCONT)

    def revive(self) -> None:
        """Start it if it runs no more, and wait until it answers. Raises CannotStart."""
        if self._child.process.poll() is not None:
            self.start()
        self.wait_ready()
