"""LoRA adapters: which folders are some, and what the engine is told to serve them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serving.app import ApplicationArguments, InvalidArguments, derive, llm_options, parse
from serving.catalog import Catalog
from serving.engine.adapters import ADAPTERS, adapter_arguments, read_adapter, wanted
from serving.engine.executor import ADAPTER_WORKER, adapt
from serving.engine.vllm_arguments import VllmArguments
from serving.errors import DoesNotFit, InvalidAdapter

DISTILL = Catalog.load().resolve("r1-distill-nano")


def make(folder: Path, weights: bytes = b"weights", **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    said = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "r1-distill-nano", **config}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def application(**changes: Any) -> ApplicationArguments:
    return parse({"model": "r1-distill-nano", "hardware": "cpu", **changes})


def test_a_folder_says_its_rank_and_base(tmp_path: Path) -> None:
    found = read_adapter("hex", make(tmp_path / "a"))
    assert (found.rank, found.base, found.folder) == (8, "r1-distill-nano", tmp_path / "a")


def test_other_weights_or_settings_have_another_digest(tmp_path: Path) -> None:
    one = read_adapter("hex", make(tmp_path / "a")).digest
    assert read_adapter("words", make(tmp_path / "b")).digest == one
    assert read_adapter("hex", make(tmp_path / "c", weights=b"others")).digest != one
    assert read_adapter("hex", make(tmp_path / "d", lora_alpha=4)).digest != one


@pytest.mark.parametrize(
    ("config", "words"),
    [({"peft_type": "IA3"}, "peft_type is 'IA3'"), ({"r": 0}, "r is 0"), ({"r": "8"}, "r is '8'")],
)
def test_what_is_no_lora_adapter_is_refused(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidAdapter, match=words):
        read_adapter("hex", make(tmp_path / "a", **config))


def test_a_folder_without_its_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidAdapter, match=r"nowhere/adapter_config.json can't be read"):
        read_adapter("hex", tmp_path / "nowhere")
    folder = make(tmp_path / "a")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(InvalidAdapter, match=r"adapter_model.safetensors can't be read"):
        read_adapter("hex", folder)
    (folder / "adapter_config.json").write_text("[")
    with pytest.raises(InvalidAdapter, match="it is no JSON"):
        read_adapter("hex", folder)


@pytest.mark.parametrize("name", ["", "Hex", "a b", "../x", "a/b", "a..b", "a-"])
def test_a_name_that_is_no_model_id_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidAdapter, match="can't be an adapter's name"):
        read_adapter(name, make(tmp_path / "a"))


def test_no_adapters_ask_nothing_of_the_engine() -> None:
    assert adapter_arguments(DISTILL, [], 0) == []
    assert "enable_lora" not in derive(application()).kwargs


@pytest.mark.parametrize(("ranks", "room"), [([], 16), ([4], 16), ([16, 17], 32), ([320], 320)])
def test_the_room_for_ranks_is_the_least_that_holds_them(ranks: list[int], room: int) -> None:
    kwargs = {each.name: each.value for each in adapter_arguments(DISTILL, ranks, 3)}
    assert kwargs == {
        "enable_lora": True,
        "max_loras": 3,
        "max_cpu_loras": 3,
        "max_lora_rank": room,
    }


def test_a_batch_holds_a_few_adapters_of_many() -> None:
    kwargs = {each.name: each.value for each in adapter_arguments(DISTILL, [], 100)}
    assert (kwargs["max_loras"], kwargs["max_cpu_loras"]) == (8, 100)


def test_vllm_knows_every_argument() -> None:
    known = VllmArguments.load()
    for each in adapter_arguments(DISTILL, [], 3):
        known.check(each.name, each.value)


def test_the_mixture_of_experts_has_none() -> None:
    with pytest.raises(DoesNotFit, match="distilled models"):
        adapter_arguments(Catalog.load().resolve("r1-nano"), [], 1)


def test_a_deployments_adapters_reach_the_engine_and_the_replica(tmp_path: Path) -> None:
    given = {"hex": str(make(tmp_path / "a", r=20))}
    arguments = application(adapters=given, max_adapters=4)
    options = llm_options(arguments, derive(arguments), {})
    assert options["engine_kwargs"]["max_lora_rank"] == 32
    assert options["engine_kwargs"]["max_cpu_loras"] == 4
    assert options["experimental_configs"][ADAPTERS] == given


def test_room_may_be_left_for_run_time_alone() -> None:
    arguments = application(max_adapters=2)
    options = llm_options(arguments, derive(arguments), {})
    assert options["engine_kwargs"]["enable_lora"] is True
    assert options["experimental_configs"][ADAPTERS] == {}
    assert (
        ADAPTERS
        not in llm_options(application(), derive(application()), {})["experimental_configs"]
    )


def test_a_deployment_with_a_wrong_folder_or_too_little_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidAdapter, match="hex: "):
        derive(application(adapters={"hex": str(tmp_path)}))
    with pytest.raises(InvalidArguments, match="max_adapters is 1, but adapters has 2"):
        application(adapters={"a": "/a", "b": "/b"}, max_adapters=1)


def test_a_folder_that_only_the_replicas_have_is_theirs_to_look_at() -> None:
    kwargs = derive(application(adapters={"hex": "/on-the-gpu-nodes"})).kwargs
    assert kwargs["max_lora_rank"] == 16
    with pytest.raises(InvalidAdapter, match="can't be an adapter's name"):
        derive(application(adapters={"Hex": "/on-the-gpu-nodes"}))


def test_what_is_said_at_run_time_wins() -> None:
    declared = {"a": "/a", "b": "/b"}
    assert wanted(declared, {"b": "", "c": "/c"}) == {"a": "/a", "c": "/c"}
    assert wanted(declared, {"a": "/other"}) == {"a": "/other", "b": "/b"}


def test_the_worker_class_is_where_its_name_says() -> None:
    module, _, name = ADAPTER_WORKER.rpartition(".")
    path = Path(*module.split(".")).with_suffix(".py")
    assert f"class {name}(" in path.read_text()


def test_an_engine_on_cpu_gets_the_mended_worker_only_with_adapters() -> None:
    for adapters in (True, False):
        given = SimpleNamespace(
            distributed_executor_backend="mp",
            world_size=1,
            enable_expert_parallel=False,
            worker_cls="vllm.v1.worker.cpu_worker.CPUWorker",
        )
        adapt(given, adapters=adapters)
        assert given.distributed_executor_backend == "uni"
        assert (given.worker_cls == ADAPTER_WORKER) == adapters
