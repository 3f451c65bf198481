"""Which model of a stack gets which adapter."""

from pathlib import Path
from typing import Any

import pytest

from r1.stack.adapters import base_of, find_adapter, forget_adapters, with_adapters
from r1.stack.plan import ServedModel
from r1.stack.redis_server import NoStore
from serving.catalog import Catalog
from serving.errors import InvalidAdapter
from tests.unit.serving.engine.test_adapters import make

CATALOG = Catalog.load()
BOTH = (ServedModel("r1-nano", None, "default"), ServedModel("r1-distill-nano", None, "default"))


def given(tmp_path: Path, *names: str, room: int | None = None, **config: Any) -> dict[str, Any]:
    adapters = [find_adapter(f"{name}={make(tmp_path / name, **config)}") for name in names]
    models = with_adapters(BOTH, adapters, room)
    return {each.id: (list(each.adapters), each.max_adapters) for each in models}


def test_an_adapter_goes_to_the_model_it_was_trained_on(tmp_path: Path) -> None:
    found = given(tmp_path, "hex", "words")
    assert found == {"r1-nano": ([], 0), "r1-distill-nano": (["hex", "words"], 8)}


def test_a_stack_without_adapters_has_no_room_for_any_unless_asked(tmp_path: Path) -> None:
    assert given(tmp_path)["r1-distill-nano"] == ([], 0)
    assert given(tmp_path, room=3)["r1-distill-nano"] == ([], 3)


@pytest.mark.parametrize(
    ("base", "models", "found"),
    [
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", ["deepseek-r1-distill-qwen-7b"], None),
        ("/data/models/r1-distill-nano/", ["r1-distill-nano", "deepseek-r1-distill-qwen-7b"], 0),
        ("R1-Distill:nano", ["deepseek-r1-distill-qwen-7b", "r1-distill-nano"], 1),
        ("/data/base", ["r1-distill-nano"], None),
    ],
)
def test_the_base_is_found_by_any_of_its_names(
    tmp_path: Path, base: str, models: list[str], found: int | None
) -> None:
    adapter = find_adapter(f"a={make(tmp_path / 'a', base_model_name_or_path=base)}")
    assert base_of(adapter, models, CATALOG) == models[found or 0]


def test_an_adapter_of_another_model_or_of_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="isn't served here"):
        given(tmp_path, "a", base_model_name_or_path="deepseek-r1-distill-qwen-7b")
    adapter = find_adapter(f"a={make(tmp_path / 'a', base_model_name_or_path='/data/base')}")
    with pytest.raises(ValueError, match="base_model_name_or_path"):
        base_of(adapter, ["r1-distill-nano", "deepseek-r1-distill-qwen-7b"], CATALOG)


@pytest.mark.parametrize("name", ["r1-nano", "r1-distill-nano"])
def test_a_models_own_name_is_taken(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is taken"):
        given(tmp_path, name)


def test_more_than_there_is_room_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="raise --max-adapters from 1"):
        given(tmp_path, "a", "b", room=1)


def test_what_neither_ships_nor_has_a_folder_is_a_sentence() -> None:
    with pytest.raises(InvalidAdapter, match="nothing-such: "):
        find_adapter("nothing-such")


def test_a_store_that_is_away_is_a_sentence() -> None:
    with pytest.raises(NoStore, match="the store doesn't answer"):
        forget_adapters("redis://127.0.0.1:1/0", ["r1-distill-nano"])
