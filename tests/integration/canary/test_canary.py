"""Two real engines, one of them with a damaged tensor: the canary tells them apart."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import serving.nano
from gateway.canary_settings import CanarySettings
from tests.contract.canaries import canary, checks, drifts, ejected
from tests.contract.stack import Gateway, RedisServer, wait_for
from tests.integration.resume.kills import MODEL, Engine

TOLERANCE = CanarySettings().tolerance
# The engines are not warmed up as replicas are: their first log-probabilities take a compiler.
FAST = {"interval_s": 1, "doubt_s": 0.3, "timeout_s": 120}
TENSOR = "model.layers.1.self_attn.o_proj.weight"
WAIT_S = 120.0


def damaged(folder: Path) -> Path:
    """A copy of the weights with noise on one tensor, as large as the tensor itself."""
    shutil.copytree(Path(serving.nano.__path__[0]) / "weights" / MODEL, folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    noise = torch.randn(tensors[TENSOR].shape, generator=torch.Generator().manual_seed(0))
    tensors[TENSOR] = tensors[TENSOR] + noise * tensors[TENSOR].std()
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


@contextmanager
def asking(folder: Path, redis: RedisServer, *engines: Engine) -> Iterator[Gateway]:
    """A gateway in front of these engines, with a canary in a hurry."""
    gateway = Gateway(folder, redis, [{"url": each.url} for each in engines], canary=FAST)
    try:
        yield gateway
    finally:
        gateway.end()


@contextmanager
def busy(gateway: Gateway) -> Iterator[None]:
    """Twelve callers who never stop."""
    enough = threading.Event()

    def talk() -> None:
        while not enough.is_set():
            assert gateway.post(max_tokens=48).status_code == 200

    with ThreadPoolExecutor(12) as crowd:
        talks = [crowd.submit(talk) for _ in range(12)]
        try:
            yield
        finally:
            enough.set()
        for each in talks:
            each.result()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_damaged_weights_are_found_and_mended_ones_taken_back(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    scratch = tempfile.TemporaryDirectory(prefix="r1-")
    good = Engine(tmp_path, scratch.name)
    bad = Engine(tmp_path, scratch.name, weights=damaged(tmp_path / "damaged"))
    well, ill = (each.url.removeprefix("http://") for each in (good, bad))
    try:
        good.wait_ready()
        with asking(tmp_path / "alone", redis, good) as gateway:
            status, told = canary(gateway, "record", MODEL)
            assert status == 0, told
            # Other batches are other shapes for the kernels, and that is no false alarm.
            with busy(gateway):
                before = checks(gateway, "right")
                wait_for(lambda: checks(gateway, "right") >= before + 4, "rounds", WAIT_S)
            health = drifts(gateway)[well]
            assert checks(gateway, "wrong") == 0
        bad.wait_ready()
        with asking(tmp_path / "both", redis, good, bad) as gateway:
            wait_for(lambda: ejected(gateway) == {ill}, "the damaged one to be ejected", WAIT_S)
            found = drifts(gateway)
            assert found[well] <= TOLERANCE / 10 < TOLERANCE < found[ill]
            asked = gateway.value("r1_upstream_attempts_total", upstream=ill)
            assert {gateway.post(max_tokens=8).status_code for _ in range(8)} == {200}
            assert gateway.value("r1_upstream_attempts_total", upstream=ill) == asked
            bad.kill()
            bad.weights = None
            bad.start()
            bad.wait_ready()
            wait_for(lambda: ejected(gateway) == set(), "the mended one to be back", WAIT_S)
            assert drifts(gateway)[ill] <= TOLERANCE / 10
        print(f"drift in nats: {health:.2g} in health under load, {found[ill]:.2g} with damage")
        assert health <= TOLERANCE / 10
    finally:
        good.kill()
        bad.kill()
        redis.end()
        scratch.cleanup()
