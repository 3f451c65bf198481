"""What must hold for every plan, whatever the model, the machine and the load."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.catalog import Catalog, Model
from serving.engine.memory import Layout
from serving.errors import DoesNotFit
from serving.hardware import Machine
from serving.plan.adapt import hardware_figures, model_figures
from serving.plan.calibration import CALIBRATED
from serving.plan.figures import HardwareFigures, ModelFigures
from serving.plan.group import Group
from serving.plan.load import Lengths, Load
from serving.plan.memory import memory_map
from serving.plan.outlook import outlook
from serving.plan.plan import make_plan
from serving.plan.queueing import closed, fullest
from serving.plan.roofline import Work, step
from serving.plan.targets import Target

REAL = [model for model in Catalog.load() if model.weights.path is None]
R1 = next(model for model in REAL if model.id == "deepseek-r1")
SHAPES = {name: Machine.load(name) for name in Machine.ids()}
FIGURES: list[tuple[ModelFigures, HardwareFigures, Layout]] = [
    (model_figures(R1), hardware_figures(SHAPES["8xh200"]), Layout(tensor=8)),
    (model_figures(R1), hardware_figures(SHAPES["8xh200"]), Layout(data=8, expert=True)),
    (model_figures(R1), hardware_figures(SHAPES["4x8xh200"]), Layout(data=32, expert=True)),
    (
        model_figures(R1),
        hardware_figures(SHAPES["2x8xh100"]),
        Layout(tensor=8, pipeline=2, expert=True),
    ),
    (
        model_figures(next(model for model in REAL if model.id.endswith("qwen-7b"))),
        hardware_figures(SHAPES["1xl4"]),
        Layout(),
    ),
]
TOKENS = st.floats(10, 8000)
LENGTHS = st.builds(Lengths, TOKENS, st.sampled_from([0.0, 0.5, 1.0]))
HITS = st.sampled_from([0.0, 0.5, 0.9])
FACTOR = st.floats(1.01, 4.0)


@st.composite
def groups(draw: st.DrawFn) -> Group:
    model, hardware, layout = draw(st.sampled_from(FIGURES))
    return Group(layout, model, hardware, CALIBRATED, kv_tokens=draw(st.floats(3e4, 3e6)))


@st.composite
def loads(draw: st.DrawFn) -> Load:
    return Load(
        users=draw(st.floats(1, 500)),
        prompt=draw(LENGTHS),
        answer=draw(LENGTHS),
        prefix_hits=draw(HITS),
    )


def faster(hardware: HardwareFigures, name: str, factor: float) -> HardwareFigures:
    if name == "flops":
        rates = {each: rate * factor for each, rate in hardware.flops.items()}
        return replace(hardware, flops=rates)
    return replace(hardware, **{name: getattr(hardware, name) * factor})


RESOURCES = st.sampled_from(
    ["bandwidth_bytes_s", "flops", "link_within_bytes_s", "link_between_bytes_s"]
)


@given(groups(), loads(), RESOURCES, FACTOR)
def test_better_hardware_never_lowers_throughput(
    group: Group, load: Load, resource: str, factor: float
) -> None:
    better = replace(group, hardware=faster(group.hardware, resource, factor))
    # Both are found by halving an interval, which leaves a little uncertainty.
    assert closed(better, load).tokens_per_s >= 0.998 * closed(group, load).tokens_per_s


@given(groups(), loads(), RESOURCES, FACTOR)
def test_better_hardware_never_makes_a_step_longer(
    group: Group, load: Load, resource: str, factor: float
) -> None:
    work = Work(load.users or 1, load.context, load.computed, load.prompt.mean)
    better = replace(group, hardware=faster(group.hardware, resource, factor))
    assert better.seconds(work) <= group.seconds(work) * (1 + 1e-9)


@given(groups(), loads(), FACTOR)
def test_more_users_never_use_less_memory(group: Group, load: Load, factor: float) -> None:
    more = replace(load, users=(load.users or 1) * factor)
    used = [closed(group, each).in_flight * each.context for each in (load, more)]
    assert used[1] >= 0.998 * used[0]


@given(groups(), loads())
def test_no_more_is_in_the_cache_than_it_holds(group: Group, load: Load) -> None:
    state = closed(group, load)
    assert state.decoding * load.context <= group.kv_tokens * (1 + 1e-9)
    assert state.decoding <= group.max_num_seqs
    assert state.tokens_per_s > 0


@given(groups(), loads())
def test_quantiles_are_in_order(group: Group, load: Load) -> None:
    seen = outlook(group, load)
    assert seen is not None
    for time in (seen.ttft_s, seen.itl_s, seen.e2e_s):
        found = [time(share) for share in (0.1, 0.5, 0.9, 0.99)]
        assert found == sorted(found)
        assert found[0] > 0


@given(groups(), loads())
def test_parts_of_a_step_are_never_negative(group: Group, load: Load) -> None:
    parts = group.step(Work(load.users or 1, load.context, load.computed, load.prompt.mean))
    assert min(
        parts.attention, parts.feed_forward, parts.experts, parts.head, parts.activations,
        parts.communication, parts.drafts,
    ) >= 0  # fmt: skip


@given(st.floats(0.01, 20), st.integers(1, 144))
def test_the_fullest_rank_has_at_least_the_mean(mean: float, ranks: int) -> None:
    found = fullest(mean, ranks)
    assert mean * (1 - 1e-6) <= found <= mean * ranks * (1 + 1e-6)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(REAL),
    st.sampled_from(sorted(SHAPES)),
    st.floats(1, 300),
    st.sampled_from([(), (Target("ttft", 0.5),), (Target("itl", 0.03), Target("e2e", 60.0, 0.5))]),
)
def test_a_plan_never_exceeds_memory(
    model: Model, shape: str, users: float, targets: tuple[Target, ...]
) -> None:
    machine = SHAPES[shape]
    try:
        plan = make_plan(model, machine, Load(users=users), targets)
    except DoesNotFit:
        return
    memory, layout = plan.best.memory, plan.best.candidate.layout
    parts = memory.weights + memory.redundant + memory.kv_cache + memory.engine + memory.untouched
    assert parts <= memory.whole
    assert memory.short == 0
    assert min(memory.weights, memory.kv_cache, memory.engine, memory.untouched) >= 0
    assert plan.best.context <= memory.kv_tokens
    assert layout.devices <= max(1, machine.gpus)
    seen = plan.best.outlook
    assert seen is not None
    assert seen.state.decoding * plan.load.context <= memory.kv_tokens * (1 + 1e-9)
    if machine.host_memory_gib is not None:
        assert plan.best.on_host <= machine.host_memory_gib.value * 2**30


@given(st.sampled_from(REAL), st.sampled_from(sorted(SHAPES)), st.integers(0, 64))
def test_a_memory_map_makes_up_the_whole(model: Model, shape: str, copies: int) -> None:
    found = memory_map(model, SHAPES[shape], Layout(redundant=copies))
    parts = found.weights + found.redundant + found.kv_cache + found.engine + found.untouched
    assert parts - found.short == found.whole


def test_a_rank_without_work_waits_for_its_kernels_only() -> None:
    model, hardware, layout = FIGURES[0]
    nothing = step(Work(1e-6, 1), layout, model, hardware, CALIBRATED)
    assert nothing.attention == 61 * 14 * CALIBRATED.kernel_s
