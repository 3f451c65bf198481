"""The real thing for Prometheus to look at: a stack with both nano models, and one with drafts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.contract.stack import HTTP, Process, answers, free_port, read_stream, wait_for
from tests.integration.local_stack import START_LIMIT_S, LocalStack, detached

MODELS = ("r1-nano", "r1-distill-nano")
DRAFTED = "r1-distill-nano"
# Text that repeats its prompt, as a copied expression does, is what n-gram drafts are good at.
_NGRAM = (
    '{"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4,'
    ' "prompt_lookup_min": 1}'
)


class DraftingEngine(Process):
    """vLLM's own server with the distilled nano model and n-gram drafts."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", f"serving/nano/weights/{DRAFTED}", "--served-model-name", DRAFTED]
        command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
        command += ["--max-model-len", "1024", "--max-num-seqs", "4", "--enforce-eager"]
        command += ["--kv-cache-memory-bytes", str(64 * 2**20), "--speculative-config", _NGRAM]
        quiet = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
        super().__init__(command, folder / "drafting.log", quiet)

    def wait_ready(self) -> None:
        """Until it answers."""
        url = f"http://{self.address}/health"
        wait_for(lambda: not self.alive() or answers(url), "the engine with drafts", START_LIMIT_S)
        assert self.alive(), self.text()

    def ask(self) -> None:
        """One question whose answer repeats much of it."""
        messages = [{"role": "user", "content": "1111 + 1111"}]
        body = {"model": DRAFTED, "messages": messages, "max_tokens": 120, "temperature": 0}
        url = f"http://{self.address}/v1/chat/completions"
        HTTP.post(url, json=body, timeout=60).raise_for_status()


class Nano:
    """A running stack and its load."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.gateway = f"127.0.0.1:{stack.ports.admin}"
        self.telemetry = f"127.0.0.1:{stack.ports.telemetry}"
        self.ray = f"127.0.0.1:{stack.ports.ray_metrics}"
        self.replicas = f"http://{self.telemetry}/replicas"
        self._headers = {"authorization": f"Bearer {stack.key}"}

    def ask(self, number: int) -> None:
        """One sum, of one model or the other; a third of them are not streamed."""
        body: dict[str, Any] = {
            "model": MODELS[number % 2],
            "messages": [{"role": "user", "content": f"{number % 7 + 2} + {number % 5 + 3}"}],
            "stream": number % 3 != 0,
            "temperature": 0,
            "max_tokens": 128,
        }
        url = self.stack.base_url + "/chat/completions"
        with HTTP.stream("POST", url, json=body, headers=self._headers, timeout=60) as response:
            assert response.status_code == 200, response.read()
            read_stream(response)

    def load(self, seconds: float, callers: int) -> int:
        """So many callers at once for so long, the same sums again and again; returns how many."""
        end = time.monotonic() + seconds

        def call(first: int) -> int:
            number = first
            while time.monotonic() < end:
                self.ask(number)
                number += callers
            return (number - first) // callers

        with ThreadPoolExecutor(callers) as crowd:
            return sum(crowd.map(call, range(callers)))


@contextmanager
def nano(folder: Path) -> Iterator[tuple[Nano, DraftingEngine]]:
    """Both, ended in any case."""
    folder.mkdir(parents=True, exist_ok=True)
    # Autoscaled, with room for one more: the autoscaler's series are there only then.
    with detached(folder, "--workers", "2", "--replicas", "1-2") as stack:
        drafting = DraftingEngine(folder)
        try:
            drafting.wait_ready()
            yield Nano(stack), drafting
        finally:
            drafting.end()
