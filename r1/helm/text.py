"""The chart's values as YAML, with the figures that are expected of them as comments."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from r1.helm.values import values_of
from serving.plan.plan import Plan
from serving.plan.published import Kind
from serving.plan.report import fitting, memory_gb, predicted

WIDTH = 100


def as_text(plans: Sequence[Plan], command: str) -> str:
    """Values that deploy these plans, as YAML.

    Args:
        plans: of one release.
        command: that makes this text.

    Raises:
        ValueError: the chart can't deploy one of the plans.
    """
    values = values_of(plans)
    models = values.pop("models")
    planned = {plan.model.id: plan for plan in plans}
    lines = [
        "# Values of the chart deploy/helm/r1, made by",
        *_command(command),
        *_comment(f"Its first replicas need {needs(plans)}."),
        "",
        _yaml(values),
        "models:",
    ]
    for name, entry in models.items():
        if name in planned:
            lines += [f"  {line}" for each in expected(planned[name]) for line in _comment(each)]
        else:
            lines.append("  # The chart's own default.")
        lines.append(textwrap.indent(_yaml({name: entry}), "  "))
    return "\n".join(lines) + "\n"


def needs(plans: Sequence[Plan]) -> str:
    """The pods of the first replicas and their GPUs, for a sentence."""
    found = []
    for plan in plans:
        machine = plan.machine
        if machine.gpu is None:
            found.append(f"{plan.best.replicas} pod(s) on processors")
            continue
        devices = plan.best.candidate.layout.devices
        pods = plan.best.replicas * -(-devices // machine.gpus_per_node)
        each = min(devices, machine.gpus_per_node)
        found.append(f"{pods} pod(s) with {each} × {machine.gpu.name}")
    return ", ".join(found)


def expected(plan: Plan) -> Iterator[str]:
    """What is expected of a plan under its load, a line a figure."""
    best, candidate = plan.best, plan.best.candidate
    yield (
        f"{plan.model.title} on {plan.machine.title}: {candidate.name}, {best.replicas} replica(s)."
    )
    if not plan.machine.is_cpu:
        # Predictions are calibrated on measurements of GPUs only.
        yield from _figures(plan)
    if best.missed is not None:
        yield f"  missed     {best.missed}"
    if plan.engine is not None:
        yield from (f"Mind: {each.sentence}" for each in plan.engine.warnings)


def _figures(plan: Plan) -> Iterator[str]:
    load, figures = plan.load, predicted(plan)
    much = f"{load.users:g} users" if load.users else f"{load.requests_per_s:g} requests a second"
    yield (
        f"Expected with {much}, prompts of {load.prompt.mean:g} tokens and answers of "
        f"{load.answer.mean:g}:"
    )
    for name, unit in (("ttft_ms", "ms"), ("itl_ms", "ms")):
        kind: Kind = "TTFT" if name == "ttft_ms" else "decode"
        seen = figures[name].items()
        times = ", ".join(f"{share} {_rounded(value)} {unit}" for share, value in seen)
        yield f"  {name.partition('_')[0].upper():<11}{times}, ±{plan.band[kind]:.0%}"
    yield (
        f"  tokens/s   {figures['tokens_per_s']:,.0f}, {figures['tokens_per_s_per_user']:,.0f} a "
        f"user, ±{plan.band['decode']:.0%}"
    )
    memory = memory_gb(plan)
    parts = [f"{name.replace('_', ' ')} {memory[name]:,.1f}" for name in _PARTS if memory[name]]
    yield f"  memory     GB of each GPU: {', '.join(parts)}"
    tokens = plan.best.memory.kv_tokens * plan.best.candidate.layout.data
    yield f"  room       {tokens:,} tokens of KV cache, {fitting(plan):,.0f} users a replica"


_PARTS = ("weights", "redundant_experts", "kv_cache", "engine", "left_alone")


def _rounded(value: float) -> str:
    """Three digits: a prediction has no more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _comment(text: str) -> list[str]:
    """Lines of a comment; those of a figure are indented below its name."""
    indented = text.startswith(" ")
    return textwrap.wrap(
        text.strip(),
        WIDTH - 4,
        initial_indent="#   " if indented else "# ",
        subsequent_indent=f"#{' ' * 14}" if indented else "# ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _command(command: str) -> Iterator[str]:
    """A command that a shell takes as it stands, behind a comment's mark."""
    lines = textwrap.wrap(command, WIDTH - 8, break_on_hyphens=False, break_long_words=False)
    for line in lines[:-1]:
        yield f"#     {line} \\"
    yield f"#     {lines[-1]}"


def _yaml(values: Any) -> str:
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=WIDTH)
    return text.rstrip("\n")
