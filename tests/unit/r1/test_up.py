import argparse
from pathlib import Path

import pytest

from r1 import up
from r1.cli import parser
from r1.stack.home import Home, write_private
from r1.stack.ports import plan_ports
from r1.stack.status import StackStatus
from serving.errors import UnknownModel


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for name in up.NANO_MODELS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    return tmp_path


def given(weights: Path, *words: str) -> argparse.Namespace:
    return parser("up").parse_args(["up", "--weights-dir", str(weights), *words])


def test_both_nano_models_are_served_by_default(weights: Path) -> None:
    models = up.served_models(given(weights))
    assert [model.id for model in models] == ["r1-nano", "r1-distill-nano"]
    assert models[0].weights == str(weights / "r1-nano")
    assert {model.profile for model in models} == {"default"}


def test_parallelism_is_for_the_mixture_of_experts_alone(weights: Path) -> None:
    models = up.served_models(given(weights, "--tp", "2", "--ep"))
    assert [model.profile for model in models] == ["tp2-ep", "default"]


@pytest.mark.parametrize("words", [("--tp", "2"), ("--ep",)])
def test_half_of_the_parallel_options_is_refused(weights: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="go together"):
        up.served_models(given(weights, *words))


def test_parallelism_without_its_model_is_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match="isn't among the models"):
        up.served_models(given(weights, "--tp", "2", "--ep", "--models", "r1-distill-nano"))


def test_a_model_for_gpus_is_refused_with_what_can_be_served(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"needs GPUs and a download; .* r1-nano"):
        up.served_models(given(weights, "--models", "deepseek-r1"))


def test_an_unknown_model_is_refused(weights: Path) -> None:
    with pytest.raises(UnknownModel):
        up.served_models(given(weights, "--models", "r1-nanoo"))


def test_missing_weights_are_named(weights: Path) -> None:
    (weights / "r1-nano" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"no weights of r1-nano in .*/r1-nano"):
        up.served_models(given(weights))


def test_a_new_key_is_shown_once(tmp_path: Path) -> None:
    home = Home.of(20000, tmp_path)
    write_private(home.user_key, "r1-thekey")
    status = StackStatus(20000, "x", ready_after_s=33.0, models=["r1-nano"])
    status.key_created = True
    assert "export OPENAI_API_KEY=r1-thekey" in up.how_to_use(status, plan_ports(20000), home)
    status.key_created = False
    later = up.how_to_use(status, plan_ports(20000), home)
    assert "r1-thekey" not in later
    assert "http://127.0.0.1:20000/v1" in later
    assert "r1 chat --port-base 20000" in later
