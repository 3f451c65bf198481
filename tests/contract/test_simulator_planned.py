"""A simulated engine with the plan's timing, over HTTP."""

import time
from collections.abc import Iterator

import pytest

from serving.simulator.planned import planned
from serving.simulator.timing import Step
from tests.contract.stack import HTTP, Simulator

MODEL = "deepseek-r1-distill-qwen-7b"
COLD_S = 1.0


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    began = time.monotonic()
    words = ("--model", MODEL, "--hardware", "1xa10", "--cold-start-s", str(COLD_S))
    started = Simulator(tmp_path_factory.mktemp("planned"), *words)
    assert time.monotonic() - began > COLD_S
    yield started
    started.end()


def test_it_serves_the_models_context_and_cache(simulator: Simulator) -> None:
    plan = planned(MODEL, "1xa10", "default")
    (model,) = HTTP.get(simulator.url + "/v1/models", timeout=10).json()["data"]
    assert model["id"] == MODEL
    assert model["max_model_len"] == plan.context


def test_an_answer_takes_no_less_than_its_steps(simulator: Simulator) -> None:
    tokens = 20
    body = {
        "model": MODEL, "prompt": "Why is the sky blue?", "max_tokens": tokens, "ignore_eos": True,
    }  # fmt: skip
    began = time.monotonic()
    answer = HTTP.post(simulator.url + "/v1/completions", json=body, timeout=60).json()
    took = time.monotonic() - began
    assert answer["usage"]["completion_tokens"] == tokens
    step_s = planned(MODEL, "1xa10", "default").timing().seconds([Step(0, 1, 20)])
    # 15 GB of weights at 600 GB/s: no step is shorter than a fortieth of a second.
    assert step_s > 0.025
    assert took >= tokens * step_s * 0.99


def test_a_slow_engine_is_slower_by_that_factor(simulator: Simulator) -> None:
    simulator.control(slow=3.0)
    body = {"model": MODEL, "prompt": "Again", "max_tokens": 5, "ignore_eos": True}
    began = time.monotonic()
    HTTP.post(simulator.url + "/v1/completions", json=body, timeout=60).raise_for_status()
    step_s = planned(MODEL, "1xa10", "default").timing().seconds([Step(0, 1, 20)])
    assert time.monotonic() - began >= 5 * 3 * step_s * 0.99
    simulator.control(slow=1.0)
