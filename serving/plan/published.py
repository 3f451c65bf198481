"""Published measurements, as data, and what the plan says of each."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from serving.catalog import Catalog
from serving.documents import Strict, read_document
from serving.engine.memory import Layout
from serving.hardware import Machine
from serving.plan.adapt import hardware_figures, model_figures
from serving.plan.figures import Part
from serving.plan.group import Group
from serving.plan.load import Lengths, Load
from serving.plan.memory import memory_map
from serving.plan.queueing import closed
from serving.plan.roofline import Factors, Work

PUBLISHED = Path(__file__).resolve().parent / "published.yaml"
Kind = Literal["decode", "prefill", "TTFT"]
Share = Annotated[float, Field(ge=0, lt=1)]


class Engine(Strict):
    """What a measurement ran on."""

    model: str
    build: str
    hardware: str
    tensor: PositiveInt = 1
    data: PositiveInt = 1
    expert: bool = False
    drafts: Annotated[int, Field(ge=0)] = 0
    redundant_experts: Annotated[int, Field(ge=0)] = 0
    overlap: bool = False
    kv: Literal["auto", "fp8"] = "auto"
    attention_fp8: bool = False
    """Attention's projections run in FP8 where the build leaves them wider."""
    batched_tokens: PositiveInt = 8192

    def group(self, factors: Factors) -> Group:
        """The engine group that was measured."""
        model = Catalog.load().resolve(self.model).using(self.build)
        machine = Machine.load(self.hardware)
        layout = Layout(
            tensor=self.tensor,
            data=self.data,
            expert=self.expert,
            redundant=self.redundant_experts,
        )
        memory = memory_map(model, machine, layout, cache_dtype=self.kv)
        figures = model_figures(model, cache_dtype=self.kv)
        if self.attention_fp8:
            wide = figures.attention
            narrow = Part(wide.parameters, wide.parameters, "fp8")
            figures = replace(figures, attention=narrow)
        return Group(
            layout=layout,
            model=figures,
            hardware=hardware_figures(machine),
            factors=factors,
            drafts=self.drafts,
            overlap=self.overlap,
            max_batched_tokens=self.batched_tokens,
            kv_tokens=memory.kv_tokens,
        )


class Closed(Strict):
    """So many users, each of whom asks again as soon as he has his answer."""

    users: PositiveInt | None = None
    """None: as many as the KV cache holds."""
    prompt: PositiveFloat
    answer: PositiveFloat
    waves: PositiveInt | None = None
    """Requests of each user."""
    first_wave_ms: PositiveFloat | None = None
    """What the first of these waited."""


class Decode(Strict):
    """Decoding alone, prompts are computed elsewhere."""

    sequences: PositiveFloat
    context: PositiveFloat


class Prefill(Strict):
    """Prompts alone, so many tokens a step and rank."""

    tokens: PositiveInt
    prompt: PositiveFloat
    prefix_hits: Share = 0.0
    busy: Annotated[float, Field(gt=0, le=1)] = 1.0


class Once(Strict):
    """So many requests at the same moment; the run ends with the longest answer."""

    requests: PositiveInt
    prompt: PositiveFloat
    answer: PositiveFloat
    longest: PositiveFloat


class Figures(Strict):
    """What was measured."""

    tokens_per_s: PositiveFloat | None = None
    tokens_per_s_per_gpu: PositiveFloat | None = None
    tokens_per_s_per_node: PositiveFloat | None = None
    prompt_tokens_per_s_per_node: PositiveFloat | None = None
    total_tokens_per_s: PositiveFloat | None = None
    tpot_ms: PositiveFloat | None = None
    ttft_ms: PositiveFloat | None = None


class Measurement(Strict):
    """One published run."""

    id: str
    source: str
    engine: Engine
    closed: Closed | None = None
    decode: Decode | None = None
    prefill: Prefill | None = None
    once: Once | None = None
    assumed: str | None = None
    figures: Figures

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (
            sum(each is not None for each in (self.closed, self.decode, self.prefill, self.once))
            != 1
        ):
            raise ValueError("give one of closed, decode, prefill and once")
        return self


class PublishedList(Strict):
    """All of them."""

    fitted: tuple[Measurement, ...]
    never_fitted: tuple[Measurement, ...]

    @classmethod
    def load(cls) -> Self:
        """Read the file that ships."""
        return read_document(PUBLISHED, cls)


def predict(run: Measurement, group: Group) -> dict[str, float]:
    """What the plan says of each figure of a run, by the figures' names."""
    found: dict[str, float] = {}
    if run.closed is not None:
        found = _closed(run.closed, group)
    elif run.decode is not None:
        step = group.seconds(Work(run.decode.sequences, run.decode.context))
        ranks = group.layout.data
        found["tokens_per_s"] = run.decode.sequences * ranks * group.tokens_per_step / step
    elif run.prefill is not None:
        work = Work(prefill=run.prefill.tokens, prompt=run.prefill.prompt)
        computed = run.prefill.tokens * group.layout.data / group.seconds(work)
        found["tokens_per_s"] = computed / (1 - run.prefill.prefix_hits) * run.prefill.busy
        found["prompt_tokens_per_s"] = found["tokens_per_s"]
    elif run.once is not None:
        found["tokens_per_s"] = _once(run.once, group)
    gpus = group.layout.devices
    nodes = gpus / group.hardware.gpus_per_node
    for name in ("tokens_per_s", "prompt_tokens_per_s"):
        if name in found:
            found[f"{name}_per_gpu"] = found[name] / gpus
            found[f"{name}_per_node"] = found[name] / nodes
    return found


def _closed(run: Closed, group: Group) -> dict[str, float]:
    load = Load(users=run.users or 1e9, prompt=Lengths(run.prompt), answer=Lengths(run.answer))
    state = closed(group, load)
    ttft = state.mean_ttft_s
    if run.users == 1:
        ttft = group.factors.request_s + group.seconds(Work(prefill=run.prompt, prompt=run.prompt))
    if run.waves is not None and run.first_wave_ms is not None:
        ttft += (run.first_wave_ms / 1e3 - ttft) / run.waves
    return {
        "tokens_per_s": state.tokens_per_s,
        "total_tokens_per_s": state.tokens_per_s * (1 + run.prompt / run.answer),
        "tpot_ms": state.tpot_s * 1e3,
        "ttft_ms": ttft * 1e3,
    }


def _once(run: Once, group: Group) -> float:
    prompts = Work(prefill=run.requests * run.prompt, prompt=run.prompt)
    # Answers end one after the other until only the longest is left.
    running = run.requests * run.answer / run.longest
    step = group.seconds(Work(running, run.prompt + run.longest / 2))
    whole = group.factors.request_s + group.seconds(prompts) + run.longest * step
    return run.requests * run.answer / whole


def figures(runs: tuple[Measurement, ...]) -> Iterator[tuple[Measurement, str, float, Kind]]:
    """Each measured figure of each run: its name, value and kind."""
    for run in runs:
        for name, value in run.figures.model_dump(exclude_none=True).items():
            kind: Kind = "decode"
            if name == "ttft_ms":
                kind = "TTFT"
            elif run.prefill is not None or name == "total_tokens_per_s":
                kind = "prefill"
            yield run, name, value, kind
