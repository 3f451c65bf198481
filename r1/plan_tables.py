"""A plan as tables on a terminal."""

from rich.console import Console
from rich.table import Table

from serving.plan.choose import without_twins
from serving.plan.plan import Plan
from serving.plan.published import Kind
from serving.plan.report import fitting, memory_gb, predicted

SHOWN = 12
"""Ways that were not chosen, at most."""


def print_plan(plan: Plan) -> None:
    """The plan as tables."""
    console = Console(highlight=False, soft_wrap=True)
    best, candidate = plan.best, plan.best.candidate
    console.print(
        f"[bold]{plan.model.id}[/] on [bold]{plan.machine.id}[/] ({plan.machine.title}): "
        f"{candidate.name}, {best.replicas} replica(s), {plan.machines} machine(s)"
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    memory = ", ".join(
        f"{name.replace('_', ' ')} {size:g}" for name, size in memory_gb(plan).items()
    )
    table.add_row("memory of each GPU (GB)", memory)
    table.add_row("KV cache", f"{best.memory.kv_tokens * candidate.layout.data:,} tokens a replica")
    table.add_row("context", f"{best.context:,} tokens")
    table.add_row("users that fit", f"{fitting(plan):,.0f} a replica")
    table.add_row("users within targets", f"{plan.window:,.0f} a replica")
    scaling = plan.autoscaling
    table.add_row(
        "autoscaling",
        f"{scaling['min_replicas']} to {scaling['max_replicas']} replicas, "
        f"{scaling['target_ongoing_requests']:g} requests each",
    )
    figures = predicted(plan)
    for name, unit in (("ttft_ms", "ms"), ("itl_ms", "ms"), ("e2e_s", "s")):
        kind: Kind = "TTFT" if name == "ttft_ms" else "decode"
        times = ", ".join(f"{share} {value:,.1f} {unit}" for share, value in figures[name].items())
        table.add_row(name.partition("_")[0].upper(), f"{times}  ±{plan.band[kind]:.0%}")
    table.add_row(
        "throughput",
        f"{figures['tokens_per_s']:,.0f} tokens/s, {figures['tokens_per_s_per_gpu']:,.0f} a GPU, "
        f"{figures['tokens_per_s_per_user']:,.1f} a user  ±{plan.band['decode']:.0%}",
    )
    cost = plan.usd_per_million_tokens
    table.add_row("cost", "no price known" if cost is None else f"{cost:,.2f} USD a million tokens")
    console.print(table)
    for remark in (best.missed, plan.close):
        if remark:
            console.print(f"[bold]{remark}[/]")
    if plan.engine is not None:
        for finding in plan.engine.warnings:
            console.print(f"warning: {finding.sentence}")
        console.print("\nvLLM's own server with the same:")
        print(plan.engine.command)
    losers = Table("not chosen", "why", box=None, pad_edge=False)
    for each in without_twins(plan.lost, SHOWN):
        losers.add_row(each.name, each.why)
    console.print()
    console.print(losers)
