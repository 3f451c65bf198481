"""What a replica does about its weights before its engine starts."""

import importlib.util
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from serving.engine import weights
from serving.engine.weights import NodeWeights
from serving.telemetry.notes import Notes
from serving.weights.fetch import Obtained
from serving.weights.progress import Progress

HERE, THERE = "aa" * 28, "bb" * 28


class Config:
    """What is used of Ray LLM's LLMConfig."""

    model_id = "r1"

    def __init__(self, **kwargs: Any) -> None:
        self.engine_kwargs = kwargs
        self.engine = SimpleNamespace(hf_model_id="org/name")

    def get_engine_config(self) -> SimpleNamespace:
        return self.engine

    def update_engine_kwargs(self, **kwargs: Any) -> None:
        self.engine_kwargs.update(kwargs)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Two nodes for the replica, this one among them; the others that were asked to fetch."""
    asked: list[str] = []
    table = {"bundles_to_node_id": {0: HERE, 1: THERE, 2: THERE}}
    monkeypatch.setattr(ray.util, "placement_group_table", lambda group: table)
    here = SimpleNamespace(get_node_id=lambda: HERE)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: here)

    class Task:
        def options(self, **options: Any) -> "Task":
            asked.append(options["scheduling_strategy"].node_id)
            assert not options["scheduling_strategy"].soft
            assert options["num_cpus"] == 0
            return self

        async def remote(self, source: str) -> None:
            asked.append(source)

    monkeypatch.setattr(ray, "remote", lambda function: Task())

    async def fetch_here(source: str, tell: Any) -> Obtained:
        tell(Progress("fetch", 1, 4))
        assert [note.message for note in Notes.of().read()] == ["fetching weights: 25 % of 0.0 GB"]
        return Obtained(tmp_path / "w", 4, fetch_s=7.0, verify_s=2.0)

    monkeypatch.setattr(weights, "fetch_here", fetch_here)
    monkeypatch.setenv("R1_TELEMETRY_DIR", str(tmp_path / "notes"))
    monkeypatch.setenv("R1_WEIGHTS_CACHE", str(tmp_path / "cache"))
    return asked


def callback(config: Config, source: str = "org/name", gpu: bool = True) -> NodeWeights:
    context: dict[str, Any] = {"placement_group": None, "runtime_env": {}}
    return NodeWeights(
        llm_config=config, ctx_kwargs=context, source=source, weight_bytes=10**9, gpu=gpu
    )


async def test_every_node_of_a_replica_gets_the_weights(nodes: list[str], tmp_path: Path) -> None:
    config = Config()
    made = callback(config)
    await made.on_before_node_init()
    assert nodes == [THERE, "org/name"]
    assert config.engine.hf_model_id == str(tmp_path / "w")
    assert not made.ctx.run_init_node
    assert (made.start.took["fetch"], made.start.took["verify"]) == (7.0, 2.0)
    assert made.start.allowed["fetch"] == 1.0
    assert [note.message for note in Notes.of().read()] == [""]


async def test_what_the_replica_serves_from_stays_in_the_cache(
    nodes: list[str], tmp_path: Path
) -> None:
    made = callback(Config())
    assert len(list((tmp_path / "cache").glob("org--name-*.used"))) == 1
    # It goes to a task with the configuration, which asks vLLM for its own on a GPU.
    assert pickle.loads(pickle.dumps(made)).start.model == "r1"


async def test_the_loader_is_chosen_unless_it_was_given(
    nodes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module)
    config, given, sparse = (
        Config(),
        Config(load_format="dummy"),
        Config(enable_expert_parallel=True),
    )
    for each in (config, given, sparse):
        await callback(each).on_before_node_init()
    assert config.engine_kwargs["load_format"] == "runai_streamer"
    assert given.engine_kwargs["load_format"] == "dummy"
    assert "load_format" not in sparse.engine_kwargs
