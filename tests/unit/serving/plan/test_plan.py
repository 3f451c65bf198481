"""A plan's choice, its arguments and its figures."""

import json
from dataclasses import replace
from typing import Any

import pytest

from serving import app
from serving.catalog import Catalog
from serving.errors import DoesNotFit
from serving.hardware import Machine
from serving.plan.choose import few_bits, without_twins
from serving.plan.load import Lengths, Load
from serving.plan.outlook import outlook
from serving.plan.pareto import Point, curve, draw, frontier
from serving.plan.plan import Plan, make_plan
from serving.plan.report import as_document, fitting, memory_gb, predicted, serve_config
from serving.plan.targets import Target

CATALOG = Catalog.load()
R1 = CATALOG.resolve("deepseek-r1")
LLAMA = CATALOG.resolve("deepseek-r1-distill-llama-70b")
SMALL = CATALOG.resolve("deepseek-r1-distill-qwen-1.5b")
FAST = (Target("ttft", 0.5),)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The line that the project promises: R1 for 200 users, TTFT under 500 ms, on 8 × H200."""
    return make_plan(R1, Machine.load("8xh200"), Load(users=200), FAST)


def test_r1_for_200_users_under_500_ms_on_8_h200(plan: Plan) -> None:
    assert plan.best.met
    assert plan.machines == plan.best.replicas == 1
    assert plan.best.candidate.layout.data == 8
    assert plan.best.candidate.layout.expert
    assert not few_bits(plan.best, R1)
    figures = predicted(plan)
    assert 100 < figures["ttft_ms"]["p50"] < figures["ttft_ms"]["p99"] <= 500
    assert figures["tokens_per_s_per_user"] > 15
    assert fitting(plan) >= 200
    assert plan.window >= 200
    assert plan.usd_per_million_tokens is not None
    assert 0.2 < plan.usd_per_million_tokens < 3


def test_a_plan_is_refused_no_target_that_it_meets(plan: Plan) -> None:
    seen = plan.best.outlook
    assert seen is not None
    assert FAST[0].excess(seen) <= 1
    slower = outlook(seen.state.group, Load(users=200 * 3))
    assert slower is not None
    assert FAST[0].excess(slower) > 1


def test_every_other_way_has_a_reason(plan: Plan) -> None:
    names = [each.name for each in plan.lost]
    assert len(names) == len(set(names)) > 20
    assert all(len(each.why) > 10 for each in plan.lost)
    whys = {each.name: each.why for each in plan.lost}
    assert "GB" in whys["bf16 TP8"]
    assert "few bits" in whys["w4a16 TP8"]
    assert len(without_twins(plan.lost, 10)) == 10


@pytest.mark.parametrize(
    ("model", "shape", "users"),
    [(R1, "8xh200", 200), (R1, "2x8xh100", 50), (LLAMA, "8xa100-80", 300), (SMALL, "1xl4", 10)],
)
def test_the_application_takes_the_plans_arguments(model: Any, shape: str, users: float) -> None:
    found = make_plan(model, Machine.load(shape), Load(users=users))
    (application,) = serve_config(found)["applications"]
    assert application["import_path"] == "serving.app:build"
    arguments = app.parse(application["args"])
    derived = app.derive(arguments)
    layout = found.best.candidate.layout
    assert derived.kwargs["tensor_parallel_size"] == layout.tensor
    assert derived.kwargs.get("data_parallel_size", 1) == layout.data
    assert derived.kwargs["max_model_len"] == found.best.context
    assert derived.model.weights.id == found.best.candidate.build
    # What is printed, planned and deployed is one thing.
    assert found.engine is not None
    assert derived.kwargs == found.engine.kwargs
    assert arguments.longest_answer_s == pytest.approx(found.longest_answer_s, abs=0.1)


def test_what_another_engine_serves_has_no_application() -> None:
    found = make_plan(LLAMA, Machine.load("rtx4090"), Load(users=1), context=8192)
    assert found.best.candidate.engine == "llamacpp"
    assert found.best.on_host > 0
    assert found.engine is None
    with pytest.raises(ValueError, match="upstream"):
        serve_config(found)


def test_a_load_too_large_for_one_machine_takes_more() -> None:
    found = make_plan(R1, Machine.load("8xh200"), Load(users=3000), FAST)
    assert found.best.met
    assert found.machines > 3
    assert found.autoscaling["max_replicas"] >= found.best.replicas
    twice = make_plan(R1, Machine.load("8xh200"), Load(users=6000), FAST)
    assert twice.machines > 1.5 * found.machines


def test_a_rate_and_the_users_that_it_makes_need_the_same(plan: Plan) -> None:
    seen = plan.best.outlook
    assert seen is not None
    rate = seen.state.requests_per_s
    found = make_plan(R1, plan.machine, Load(requests_per_s=0.9 * rate), FAST)
    assert found.machines == plan.machines


def test_a_target_that_nothing_meets_is_said_to_be_missed() -> None:
    found = make_plan(R1, Machine.load("8xh200"), Load(users=10), (Target("ttft", 0.01),))
    assert not found.best.met
    assert found.best.missed is not None
    assert "TTFT p99 within 10 ms is missed" in found.best.missed


def test_a_target_within_the_error_of_predictions_is_told(plan: Plan) -> None:
    seen = plan.best.outlook
    assert seen is not None
    near = Target("ttft", seen.ttft_s(0.99) * 1.05)
    assert replace(plan, targets=(near,)).close is not None
    assert replace(plan, targets=(Target("ttft", 60.0),)).close is None


def test_cached_prefixes_shorten_the_first_token() -> None:
    shape = Machine.load("8xh200")
    load = Load(users=50, prompt=Lengths(8000))
    cold = make_plan(R1, shape, load)
    warm = make_plan(R1, shape, replace(load, prefix_hits=0.9))
    assert warm.best.outlook is not None
    assert cold.best.outlook is not None
    assert warm.best.outlook.ttft_s(0.5) < 0.7 * cold.best.outlook.ttft_s(0.5)


def test_an_fp8_cache_is_only_chosen_where_it_is_allowed() -> None:
    shape, load = Machine.load("8xh200"), Load(users=2000, answer=Lengths(8000))
    found = make_plan(R1, shape, load)
    assert all("KV fp8" not in each.name for each in found.lost)
    allowed = make_plan(R1, shape, load, fp8_cache=True)
    assert allowed.machines <= found.machines


def test_a_build_can_be_asked_for() -> None:
    found = make_plan(LLAMA, Machine.load("8xa100-80"), Load(users=10), build="w4a16")
    assert found.best.candidate.build == "w4a16"


def test_the_document_is_json_and_names_units(plan: Plan) -> None:
    document = json.loads(json.dumps(as_document(plan)))
    assert document["parallelism"]["data"] == 8
    assert document["predicted"]["ttft_ms"]["p99"] > 0
    assert document["error_band"]["decode"] > 0
    assert document["targets"] == ["TTFT p99 within 500 ms"]
    assert document["engine_arguments"]["data_parallel_size"] == 8
    memory = memory_gb(plan)
    whole = plan.machine.memory_bytes / 1e9
    assert sum(memory.values()) - memory["weights_on_host"] == pytest.approx(whole, abs=0.05)


def test_the_frontier_has_what_no_other_point_beats() -> None:
    points = [Point("", 1, *pair) for pair in [(10.0, 1.0), (5.0, 3.0), (4.0, 2.0), (1.0, 9.0)]]
    assert [(each.per_user, each.per_gpu) for each in frontier(points)] == [
        (10.0, 1.0), (5.0, 3.0), (1.0, 9.0),
    ]  # fmt: skip


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_plot_is_written(plan: Plan, tmp_path: Any, ending: str) -> None:
    points = curve(plan.best, plan.load)
    assert points[0].per_user > points[-1].per_user
    assert points[0].per_gpu < points[-1].per_gpu
    path = tmp_path / f"plot.{ending}"
    draw([points], "DeepSeek-R1 on 8 × H200", path, points[0])
    start = path.read_bytes()[:200]
    assert b"PNG" in start if ending == "png" else b"<svg" in path.read_bytes()


def test_longer_than_the_models_positions_is_refused() -> None:
    with pytest.raises(DoesNotFit, match="163,840 positions"):
        make_plan(R1, Machine.load("8xh200"), Load(users=1, prompt=Lengths(200_000)))


def test_an_fp8_cache_is_served_with_a_report_only(plan: Plan) -> None:
    narrow = replace(plan.best.candidate, cache_dtype="fp8")
    with pytest.raises(ValueError, match="kv_parity"):
        serve_config(replace(plan, best=replace(plan.best, candidate=narrow)))
