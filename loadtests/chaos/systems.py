"""Gateways in front of the disturbed model servers: r1, and those it is compared with."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml

from loadtests.chaos.engines import MODEL, START_S
from loadtests.chaos.stage import Served
from loadtests.gateways.peers import LITELLM_HEALTH, LITELLM_QUIET, litellm_models
from loadtests.gateways.targets import CannotStart, answers, free_port, wait_until
from loadtests.streams import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from loadtests.chaos.stage import Stage

WORKERS = 2
_NEW_KEY = "import secrets; from gateway.auth.keys import make_key; print(make_key(secrets.choice))"


@dataclass(frozen=True)
class System:
    """A gateway that can be put before the model servers."""

    name: str
    start: Callable[[Stage], AbstractContextManager[Served]]
    """Raises CannotStart."""
    stores: bool = False
    """Whether it uses Redis here."""


@contextlib.contextmanager
def r1(stage: Stage) -> Iterator[Served]:
    """r1 as it is installed: keys, limits, window, two workers; and its key declared in a file."""
    port, admin = free_port(), free_port()
    folder = stage.folder / "r1"
    folder.mkdir()
    key = _output("-c", _NEW_KEY)
    (folder / "pepper.key").write_text(secrets.token_urlsafe(32))
    (folder / "keys.yaml").write_text(
        yaml.safe_dump({"keys": [{"name": "chaos", "tenant": "acme", "key": key, "rpm": 10**6}]})
    )
    config = {
        "listen": {"port": port, "workers": WORKERS},
        "admin": {"port": admin},
        "store": {"url": f"redis://127.0.0.1:{stage.wires['redis'].port}/0"},
        "auth": {"pepper_file": "pepper.key", "bootstrap_file": "keys.yaml"},
        "models": [{"id": MODEL, "upstreams": [{"url": url} for url in stage.urls()]}],
    }
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "gateway", "--config", str(path)]
    # Its log is where its disk is: a full one is full for both.
    child = stage.keeper.spawn("disk/r1", command, stage.clocked(), group=stage.group)
    try:
        ready = partial(answers, admin, "/readyz")
        wait_until(ready, child.process, "r1", START_S)
        target = Target("r1", f"http://127.0.0.1:{port}/v1", MODEL, key)
        yield Served(target, child, admin, clocked=True)
    finally:
        stage.keeper.end(child)


@contextlib.contextmanager
def litellm(stage: Stage, venv: Path) -> Iterator[Served]:
    """LiteLLM's proxy: both servers as deployments of one model, retries and cooldowns on."""
    program = venv / "bin" / "litellm"
    if not program.exists():
        raise CannotStart(f"not installed: no {program} (python -m loadtests.gateways makes it)")
    port, key = free_port(), "sk-" + secrets.token_hex(16)
    config: dict[str, Any] = {
        "model_list": litellm_models(MODEL, stage.urls()),
        "router_settings": {"num_retries": 2, "routing_strategy": "least-busy"},
        "general_settings": {"master_key": key},
        "litellm_settings": {"telemetry": False, "drop_params": False},
    }
    path = stage.folder / "litellm.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [str(program), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--num_workers", str(WORKERS)]
    # Under libfaketime time.sleep fails in its threads.
    environment = {**LITELLM_QUIET, **stage.small()}
    child = stage.keeper.spawn("disk/litellm", command, environment, group=stage.group)
    try:
        ready = partial(answers, port, LITELLM_HEALTH)
        wait_until(ready, child.process, "LiteLLM", START_S)
        yield Served(Target("litellm", f"http://127.0.0.1:{port}/v1", MODEL, key), child)
    finally:
        stage.keeper.end(child)


def systems(venv: Path) -> tuple[System, ...]:
    """All of them, r1 first."""
    return (
        System("r1", r1, stores=True),
        System("LiteLLM", partial(litellm, venv=venv)),
    )


def _output(*words: str) -> str:
    return subprocess.check_output([sys.executable, *words], text=True).strip()
