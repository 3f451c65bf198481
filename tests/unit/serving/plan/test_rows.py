"""Every row of the hardware tables that the project started from gets an answer."""

from dataclasses import dataclass
from typing import Any

import pytest

from serving.catalog import Catalog
from serving.errors import DoesNotFit
from serving.hardware import Machine
from serving.plan.load import Lengths, Load
from serving.plan.plan import Plan, make_plan
from serving.plan.report import fitting
from serving.plan.targets import Target

CATALOG = Catalog.load()
ONE = Load(users=1, prompt=Lengths(500), answer=Lengths(2000))
DISTILL = "deepseek-r1-distill-"


def machine(name: str, **changes: Any) -> Machine:
    """A shipped shape with other memory."""
    found = Machine.load(name)
    gib = changes.get("gpu_gib")
    if gib is not None and found.gpu is not None:
        figure = found.gpu.memory_gib.model_copy(update={"value": gib})
        found = found.model_copy(
            update={"gpu": found.gpu.model_copy(update={"memory_gib": figure})}
        )
    host = changes.get("host_gib")
    if host is not None and found.host_memory_gib is not None:
        figure = found.host_memory_gib.model_copy(update={"value": host})
        found = found.model_copy(update={"host_memory_gib": figure})
    return found


def plan(model: str, shape: Machine, context: int = 8192) -> Plan:
    return make_plan(CATALOG.resolve(model), shape, ONE, context=context)


@dataclass(frozen=True)
class Row:
    model: str
    shape: Machine
    bits: tuple[int, ...]
    """Bits of a weight in the answer, any of these."""


BITS = {
    "bfloat16": 16, "fp8_block": 8, "fp8_dynamic": 8, "w8a8_int8": 8, "gguf_q8_0": 8,
    "gguf_q5_k_m": 5, "w4a16_gptq": 4, "w4a16_awq": 4, "nvfp4": 4, "gguf_q4_k_m": 4,
}  # fmt: skip
FITS = [
    # Development.
    Row(DISTILL + "qwen-1.5b", machine("1xt4"), (16,)),
    Row(DISTILL + "qwen-7b", machine("1xt4"), (8,)),
    Row(DISTILL + "qwen-14b", machine("1xa100-40"), (16, 8)),
    Row(DISTILL + "qwen-32b", machine("1xa100-40"), (4,)),
    # Production.
    Row(DISTILL + "qwen-32b", machine("4xa10"), (16, 8)),
    Row(DISTILL + "llama-70b", machine("4xa10"), (4,)),
    Row(DISTILL + "llama-70b", machine("8xa100-80"), (16, 8)),
    Row("deepseek-r1", machine("8xa100-80"), (4,)),
    # Edge.
    Row(DISTILL + "qwen-7b", machine("jetson-orin"), (16, 8)),
    Row(DISTILL + "qwen-14b", machine("jetson-orin"), (8, 4)),
    # At home: the rest of the layers lies in the computer's own memory.
    Row(DISTILL + "llama-70b", machine("rtx3090"), (4,)),
    Row(DISTILL + "llama-70b", machine("rtx4090"), (4,)),
    Row(DISTILL + "qwen-14b", machine("rtx3060"), (4, 5, 8)),
    Row(DISTILL + "qwen-7b", machine("rtx3060", gpu_gib=5.8), (4, 5, 8)),
    Row(DISTILL + "qwen-1.5b", machine("cpu-8gb"), (16, 8)),
    # The whole R1.
    Row("deepseek-r1", machine("8xh200"), (8,)),
    Row("deepseek-r1", machine("2x8xh100"), (8,)),
    Row("deepseek-r1", machine("2x8xh800"), (8,)),
    Row("deepseek-r1", machine("8xh20-141"), (8,)),
    Row("deepseek-r1", machine("2x8xh20-96"), (8,)),
    Row("deepseek-r1", machine("8xmi300x"), (8,)),
    Row("deepseek-r1", machine("4xb200"), (4,)),
    Row("deepseek-r1", machine("8xb200"), (8, 4)),
    Row("deepseek-r1", machine("8xh100"), (4,)),
    Row("deepseek-r1", machine("2x8xa100-80"), (8,)),
]


@pytest.mark.parametrize("row", FITS, ids=lambda row: f"{row.model} on {row.shape.id}")
def test_it_fits_and_the_plan_says_how(row: Row) -> None:
    found = plan(row.model, row.shape)
    built = found.model.using(found.best.candidate.build).weights
    assert BITS[built.format] in row.bits
    assert found.best.context >= 8192
    assert fitting(found) >= 1
    assert found.best.met
    assert found.best.memory.kv_tokens >= 8192


REFUSED = [
    ("deepseek-r1", machine("rtx4090"), 8192, "the weights take 673.2 GB"),
    ("deepseek-r1", machine("8xh200"), 512 * 1024, "knows 163,840 positions"),
    # No build of four bits or more is below 4 GB.
    (DISTILL + "qwen-7b", machine("cpu", host_gib=4), 8192, "the weights take"),
]


@pytest.mark.parametrize(
    ("model", "shape", "context", "why"), REFUSED, ids=[f"{m} on {s.id}" for m, s, *_ in REFUSED]
)
def test_it_does_not_fit_and_the_refusal_says_why(
    model: str, shape: Machine, context: int, why: str
) -> None:
    with pytest.raises(DoesNotFit, match=why):
        plan(model, shape, context)


def test_the_whole_r1_in_fp8_does_not_fit_on_eight_h20_of_96_gb() -> None:
    with pytest.raises(DoesNotFit, match="GB"):
        make_plan(
            CATALOG.resolve("deepseek-r1"), machine("8xh20-96"), ONE, context=8192, build="fp8"
        )


SERVICE = Load(requests_per_s=0.5, prompt=Lengths(600, 0.5), answer=Lengths(400, 0.6))
SCORING = Load(
    requests_per_s=115.7, prompt=Lengths(400, 0.3), answer=Lengths(60, 0.3), prefix_hits=0.5
)


def test_customer_service_that_answers_in_800_ms_needs_one_l4() -> None:
    targets = (Target("ttft", 0.8, 0.95),)
    found = make_plan(CATALOG.resolve(DISTILL + "qwen-7b"), machine("1xl4"), SERVICE, targets)
    assert found.best.met
    assert found.machines == 1
    # A whole answer within that time wants a faster machine and a shorter answer.
    whole = (Target("e2e", 0.8, 0.95),)
    assert not make_plan(
        CATALOG.resolve(DISTILL + "qwen-7b"), machine("1xl4"), SERVICE, whole
    ).best.met
    short = Load(requests_per_s=2, prompt=Lengths(600, 0.5), answer=Lengths(60, 0.3))
    assert make_plan(CATALOG.resolve(DISTILL + "qwen-7b"), machine("1xh100"), short, whole).best.met


def test_scoring_ten_million_records_a_day_needs_two_l4() -> None:
    found = make_plan(CATALOG.resolve(DISTILL + "qwen-1.5b"), machine("1xl4"), SCORING)
    assert found.best.met
    assert found.machines == 2
    assert found.tokens_per_s * 86_400 == pytest.approx(60 * 10e6, rel=0.01)
    larger = make_plan(CATALOG.resolve(DISTILL + "qwen-7b"), machine("1xl4"), SCORING)
    assert larger.machines > 2 * found.machines
