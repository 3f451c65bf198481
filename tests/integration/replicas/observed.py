"""What can be seen of a stack's replicas from outside, and callers who keep it busy."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import redis
from prometheus_client.parser import text_string_to_metric_families

from r1.stack.processes import descendants, name_of
from tests.contract.stack import HTTP
from tests.integration.local_stack import LocalStack, wait_for

MODEL = "r1-distill-nano"
# Longer than a block of the KV cache, so that the prefix cache has something to find.
QUESTION = "What is 4821 + 379? " * 10


@dataclass(frozen=True)
class Ending:
    """How a stream came to its end."""

    status: int
    tokens: int = 0
    finish: str | None = None
    done: bool = False
    error: str = ""


class Observed:
    """A stack with one model."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self._store: Any = redis.Redis(
            port=stack.ports.store, password=self.password, decode_responses=True
        )

    @property
    def password(self) -> str:
        """The store's."""
        return self.stack.home.secret_file("store.password").read_text()

    def entries(self) -> dict[str, dict[str, Any]]:
        """The living entries of the registry, by URL."""
        now = int(self._store.time()[0])
        found = {}
        for url, value in self._store.hgetall(f"r1:replicas:{MODEL}").items():
            expiry, _, told = value.partition(" ")
            if int(expiry) > now:
                found[url] = json.loads(told)
        return found

    def ready(self) -> set[str]:
        """URLs of the replicas that take requests."""
        return {url for url, told in self.entries().items() if told["state"] == "ready"}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the gateway's samples with these labels."""
        page = HTTP.get(f"http://127.0.0.1:{self.stack.ports.admin}/metrics", timeout=30).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def replica_process(self, url: str) -> int:
        """The process whose HTTP server a replica's URL leads to."""
        port = httpx.URL(url).port
        for pid in self.stack.left():
            with contextlib.suppress(psutil.Error):
                for each in psutil.Process(pid).net_connections("tcp"):
                    if each.status == psutil.CONN_LISTEN and each.laddr.port == port:
                        return pid
        raise AssertionError(f"nobody listens on port {port}")

    def engine_core(self, url: str) -> int:
        """The process of a replica's engine."""
        (pid,) = [
            pid
            for pid in descendants(self.replica_process(url))
            if name_of(pid).startswith("VLLM::EngineCore")
        ]
        return pid

    def redeploy(self, **changes: Any) -> None:
        """Hand the running application other arguments."""
        subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.integration.replicas.redeploy",
                str(self.stack.home.plane_config),
                json.dumps(changes),
            ],
            check=True,
            timeout=300,
        )

    def stream(self, tokens: int) -> Ending:
        """One streamed answer of so many tokens, to its end."""
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": tokens,
            "ignore_eos": True,
        }
        finish, done, error, counted = None, False, "", 0
        headers = {"authorization": f"Bearer {self.stack.key}"}
        with HTTP.stream(
            "POST",
            f"{self.stack.base_url}/chat/completions",
            json=body,
            headers=headers,
            timeout=300,
        ) as response:
            if response.status_code != 200:
                return Ending(response.status_code, error=response.read().decode())
            for line in response.iter_lines():
                if line == "data: [DONE]":
                    done = True
                elif line.startswith("data: "):
                    event = json.loads(line[6:])
                    error = error or str(event.get("error") or "")
                    counted = (event.get("usage") or {}).get("completion_tokens", counted)
                    for choice in event.get("choices", []):
                        finish = choice["finish_reason"] or finish
        return Ending(200, counted, finish, done, error)


class Crowd:
    """Callers who ask for one answer after the other until they are told to leave."""

    def __init__(self, observed: Observed, callers: int, tokens: int) -> None:
        self._observed = observed
        self._tokens = tokens
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]
        self.endings: list[Ending] = []

    def _call(self) -> None:
        while not self._over.is_set():
            try:
                ending = self._observed.stream(self._tokens)
            except httpx.HTTPError as error:
                ending = Ending(0, error=f"{type(error).__name__}: {error}")
            self.endings.append(ending)

    @property
    def failures(self) -> list[Ending]:
        """Endings that are not those of a whole answer."""
        whole = Ending(200, self._tokens, "length", done=True)
        return [each for each in self.endings if each != whole]

    @contextlib.contextmanager
    def calling(self) -> Iterator[Crowd]:
        """They call inside, and what they began is at its end afterwards."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()


def wait_until_served(observed: Observed, replicas: int) -> set[str]:
    """Wait until so many replicas take requests and none is leaving; their URLs."""

    def so_many() -> bool:
        return len(observed.ready()) == len(observed.entries()) == replicas

    wait_for(f"{replicas} replica(s)", so_many)
    return observed.ready()
