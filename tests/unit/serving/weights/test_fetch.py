"""Fetching from a hub and from S3, both on loopback: caches, kills in the middle, damage."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from serving.errors import WeightsError
from serving.weights.cache import ROOT_VARIABLE, NodeCache
from serving.weights.fetch import Obtained, obtain
from serving.weights.manifest import Manifest
from serving.weights.progress import Progress, bytes_below
from serving.weights.source import parse
from tests.unit.serving.weights.stores import BUCKET, COMMIT, PREFIX, REPO, Store, model, serving

BIG = "model-00001-of-00002.safetensors"
SERVED = {
    "config.json",
    "tokenizer.json",
    "model.safetensors.index.json",
    BIG,
    "model-00002-of-00002.safetensors",
}
MB = 1_000_000


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with serving(model()) as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


@pytest.fixture(params=["hub", "s3"])
def source(request: pytest.FixtureRequest, store: Store) -> str:
    if request.param == "hub":
        return REPO
    return f"s3://{BUCKET}/{PREFIX}?endpoint={store.url}&anonymous=true"


@pytest.fixture
def cache(tmp_path: Path) -> NodeCache:
    return NodeCache(tmp_path / "cache")


def fetch(
    source: str, cache: NodeCache, report: Callable[[Progress], None] = lambda progress: None
) -> Obtained:
    return obtain(parse(source), cache, report)


def assert_same(folder: Path, store: Store) -> None:
    assert {path.name for path in folder.iterdir()} == SERVED | {"r1-weights.json"}
    for name in SERVED:
        assert (folder / name).read_bytes() == store.files[name], name


def test_what_serving_needs_is_fetched_once(cache: NodeCache, store: Store, source: str) -> None:
    seen: list[Progress] = []
    obtained = fetch(source, cache, seen.append)
    assert_same(obtained.folder, store)
    assert seen[0].phase == "fetch"
    assert seen[-1].phase == "verify"
    assert max(each.done for each in seen) == obtained.bytes
    asked = len(store.requests)
    assert fetch(source, cache).folder == obtained.folder
    assert len(store.requests) == asked


def test_checksums_are_kept_whatever_the_source_tells(
    cache: NodeCache, store: Store, source: str
) -> None:
    manifest = Manifest.load(fetch(source, cache).folder)
    assert manifest is not None
    assert set(manifest.files) == SERVED
    assert all(len(file.sha256 or "") == 64 for file in manifest.files.values())
    assert manifest.revision == (COMMIT if source == REPO else "")


def test_one_damaged_byte_is_found_and_the_file_fetched_again(
    cache: NodeCache, store: Store
) -> None:
    store.damaged[BIG] = 1
    assert_same(fetch(REPO, cache).folder, store)
    assert store.sent[BIG] == 2 * len(store.files[BIG])
    assert store.sent["tokenizer.json"] == len(store.files["tokenizer.json"])


def test_a_file_that_stays_damaged_is_named(cache: NodeCache, store: Store) -> None:
    store.damaged[BIG] = 9
    with pytest.raises(WeightsError, match=rf"{BIG} is damaged.*SHA-256.*source itself|{BIG}"):
        fetch(REPO, cache)
    assert not [path for path in cache.root.iterdir() if path.is_dir() and path.suffix == ""]


def test_a_pulled_folder_in_s3_brings_its_checksums(
    cache: NodeCache, store: Store, tmp_path: Path
) -> None:
    pulled = fetch(REPO, cache).folder
    store.files["r1-weights.json"] = (pulled / "r1-weights.json").read_bytes()
    store.damaged[BIG] = 1
    address = f"s3://{BUCKET}/{PREFIX}?endpoint={store.url}&anonymous=true"
    obtained = fetch(address, NodeCache(tmp_path / "other"))
    assert_same(obtained.folder, store)
    assert store.sent[BIG] == 3 * len(store.files[BIG])


def test_a_cached_model_that_lost_bytes_is_fetched_again(
    cache: NodeCache, store: Store, source: str
) -> None:
    folder = fetch(source, cache).folder
    (folder / BIG).write_bytes(b"short")
    assert_same(fetch(source, cache).folder, store)


def test_two_replicas_of_a_node_fetch_once(cache: NodeCache, store: Store, source: str) -> None:
    store.stall_after[BIG] = 1000
    found: list[Path] = []
    waiting = threading.Event()

    def report(progress: Progress) -> None:
        if progress.phase == "waiting":
            waiting.set()

    def replica() -> None:
        found.append(fetch(source, cache, report).folder)

    first = threading.Thread(target=replica)
    first.start()
    assert store.stalled.wait(30)
    second = threading.Thread(target=replica)
    second.start()
    assert waiting.wait(30)
    store.stall_after.clear()
    store.go_on.set()
    first.join()
    second.join()
    assert len(found) == 2
    assert_same(found[0], store)
    assert store.sent["config.json"] == len(store.files["config.json"])


def others_kept(cache: NodeCache, source: str) -> bool:
    """Whether every file but the big one is whole, also in the hub library's own notes."""
    suffix = ".metadata" if source == REPO else ""
    found = {path.name for path in cache.root.rglob("*") if path.is_file() and path.stat().st_size}
    return {name + suffix for name in SERVED - {BIG}} <= found


def test_a_killed_fetch_is_gone_on_with(cache: NodeCache, store: Store, source: str) -> None:
    store.files.update(model(16 * MB))
    store.stall_after[BIG] = 12 * MB
    environment = {
        **os.environ,
        ROOT_VARIABLE: str(cache.root),
        "HF_HUB_OFFLINE": "0",
        "TRANSFORMERS_OFFLINE": "0",
    }
    command = [sys.executable, "-m", "serving.weights", source]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as first:
        wait_for(lambda: bytes_below(cache.root) > (8 + 8) * MB and others_kept(cache, source))
        first.kill()
    store.stall_after.clear()
    store.go_on.set()
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=50, check=True
    )
    *progress, last = [json.loads(line) for line in ended.stdout.splitlines()]
    assert progress[0]["progress"]["done"] > 8 * MB
    assert_same(Path(last["obtained"]["folder"]), store)
    for name in SERVED - {BIG}:
        assert store.sent[name] == len(store.files[name])
    # 12 MB before the kill; S3's files are gone on with in their middle, the hub's are not.
    assert store.sent[BIG] < (24 if source != REPO else 29) * MB


def test_what_a_killed_fetch_left_of_other_files_is_not_used(
    cache: NodeCache, store: Store, source: str
) -> None:
    folder = fetch(source, cache).folder
    folder.rename(folder.with_name(folder.name + ".partial"))
    store.files["config.json"] = b'{"model_type": "llama"}'
    store.files[BIG] = model(300_100)[BIG]
    assert_same(fetch(source, cache).folder, store)


def refusal(source: str, cache: NodeCache) -> str:
    with pytest.raises(WeightsError) as caught:
        fetch(source, cache)
    return str(caught.value)


def test_refusals_say_what_to_do(cache: NodeCache, store: Store) -> None:
    assert "HF_TOKEN" in refusal("acme/other", cache)
    s3 = f"?endpoint={store.url}&anonymous=true"
    assert "bucket and prefix" in refusal(f"s3://{BUCKET}/nothing{s3}", cache)
    store.gated = True
    assert "accept them" in refusal(REPO, cache)


def test_a_store_without_weights_is_told(cache: NodeCache, store: Store, source: str) -> None:
    for name in list(store.files):
        if name.endswith(".safetensors"):
            del store.files[name]
    assert "no *.safetensors" in refusal(source, cache)


def test_a_hub_that_is_away_is_told(
    cache: NodeCache, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "r1 weights pull" in refusal(REPO, cache)


def wait_for(condition: Callable[[], Any]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 40
        time.sleep(0.02)
