import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serving.engine.cold_start import PHASES, ColdStart, budget, parts
from serving.engine.executor import TIMED_WORKERS, time_start
from serving.engine.start import time_engine
from serving.engine.timed import Timed
from serving.telemetry.notes import Note, Notes
from serving.weights.loader import load_format
from serving.weights.source import Bucket, Folder, Hub

R1_BYTES = 688_570_000_000


def test_the_budget_of_a_folder_has_no_download() -> None:
    found = budget(Folder(Path("/w")), R1_BYTES, gpu=True, cached=True)
    assert tuple(found) == PHASES
    assert found["fetch"] == found["verify"] == 0
    assert found["load"] == pytest.approx(344, abs=1)


@pytest.mark.parametrize("source", [Hub("a/b"), Bucket("a", "b")])
def test_the_budget_of_a_download_follows_the_bytes(source: Hub | Bucket) -> None:
    first = budget(source, R1_BYTES, gpu=True, cached=False)
    again = budget(source, R1_BYTES, gpu=True, cached=True)
    assert first["fetch"] == pytest.approx(689, abs=1)
    assert again["fetch"] == 0
    assert sum(first.values()) > sum(again.values())


def test_a_start_is_told_by_phases_and_what_was_late() -> None:
    allowed = budget(Folder(Path("/w")), 10**9, gpu=False, cached=True)
    start = ColdStart("r1-nano", allowed)
    start.add("process", 3.0)
    start.add("load", 40.0)
    start.add("load", 2.0)
    assert start.summary().startswith("cold start of r1-nano: 45.0 s = process 3.0 + load 42.0")
    assert start.summary().endswith("above budget: load took 42 s of 0")
    with pytest.raises(ValueError, match="no phase"):
        start.add("lunch", 1.0)
    assert parts({"fetch": 1.0, "load": 2.0}) == "3.0 s = fetch 1.0 + load 2.0"


class Worker:
    def load_model(self, *, fast: bool) -> bool:
        return fast

    def determine_available_memory(self) -> int:
        return 7

    def initialize_from_config(self, config: str) -> str:
        return config

    def compile_or_warm_up_model(self) -> float:
        raise RuntimeError("out of memory")


class TimedWorker(Timed, Worker):
    pass


def test_a_timed_worker_does_what_it_did_and_knows_how_long() -> None:
    worker = TimedWorker()
    assert worker.start_phases() == {}
    assert worker.load_model(fast=True)
    assert worker.determine_available_memory() == 7
    assert worker.initialize_from_config("c") == "c"
    with pytest.raises(RuntimeError, match="out of memory"):
        worker.compile_or_warm_up_model()
    assert set(worker.start_phases()) == {"load", "compile"}


def test_only_workers_with_a_timed_counterpart_are_replaced() -> None:
    known = SimpleNamespace(worker_cls="vllm.v1.worker.gpu_worker.Worker")
    time_start(known)
    assert known.worker_cls == TIMED_WORKERS["vllm.v1.worker.gpu_worker.Worker"]
    other = SimpleNamespace(worker_cls="vllm.v1.worker.xpu_worker.XPUWorker")
    time_start(other)
    assert other.worker_cls == "vllm.v1.worker.xpu_worker.XPUWorker"


class Engine:
    """What `time_engine` uses of Ray LLM's engine."""

    def __init__(self, worker: str, ranks: list[dict[str, float]]) -> None:
        self.ranks = ranks
        self._engine_client: Any = self
        parallel = SimpleNamespace(worker_cls=worker)
        self.vllm_config = SimpleNamespace(parallel_config=parallel)

    async def start(self) -> None:
        await asyncio.sleep(0)

    async def collective_rpc(self, method: str) -> list[dict[str, float]]:
        assert method == "start_phases"
        return self.ranks


async def test_the_slowest_rank_counts() -> None:
    start = ColdStart("m", budget(Folder(Path("/w")), 0, gpu=True, cached=True))
    timed = TIMED_WORKERS["vllm.v1.worker.gpu_worker.Worker"]
    ranks = [{"load": 3.0, "compile": 1.0}, {"load": 2.0, "compile": 5.0}]
    await time_engine(start, Engine(timed, ranks))
    assert (start.took["load"], start.took["compile"]) == (3.0, 5.0)
    assert start.took["engine"] == 0


async def test_a_worker_of_ones_own_is_not_asked() -> None:
    start = ColdStart("m", budget(Folder(Path("/w")), 0, gpu=True, cached=True))
    await time_engine(start, Engine("mine.Worker", []))
    assert set(start.took) == {"engine"}


@pytest.mark.parametrize(
    ("modules", "gpu", "experts", "expected"),
    [
        (("runai_model_streamer", "fastsafetensors"), True, False, "runai_streamer"),
        (("fastsafetensors",), True, False, "fastsafetensors"),
        ((), True, False, None),
        (("runai_model_streamer",), False, False, None),
        (("runai_model_streamer", "fastsafetensors"), True, True, None),
    ],
)
def test_the_fastest_loader_that_is_there_is_taken(
    modules: tuple[str, ...], gpu: bool, experts: bool, expected: str | None
) -> None:
    found = load_format(modules.__contains__, gpu=gpu, expert_parallel=experts)
    assert (found[0] if found else None) == expected


def test_notes_are_kept_by_model(tmp_path: Path) -> None:
    notes = Notes.of({"R1_TELEMETRY_DIR": str(tmp_path / "t")})
    assert notes.read() == []
    notes.write(Note("b", "fetching"))
    notes.write(Note("a", seconds={"load": 2.0}))
    notes.write(Note("b"))
    assert notes.read() == [Note("a", seconds={"load": 2.0}), Note("b")]
    nowhere = Notes.of({})
    nowhere.write(Note("a"))
    assert nowhere.read() == []
