"""The table of presets in docs/sizing.md."""

from collections.abc import Mapping, Sequence

from serving.plan.plan import Plan
from serving.plan.report import fitting, predicted

BEGIN, END = "<!-- presets: begin -->", "<!-- presets: end -->"
HEAD = """\
| preset | GPUs | weights and layout | users | TTFT p50/p99 | ITL p50 | tokens/s | room for |
|---|---|---|---|---|---|---|---|"""


def with_table(page: str, presets: Mapping[str, Sequence[Plan]]) -> str:
    """The page with its table of presets made anew.

    Raises:
        ValueError: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/sizing.md: put the lines {BEGIN} and {END} where the table goes")
    rows = [_row(name, plans) for name, plans in presets.items()]
    table = "\n".join([BEGIN, HEAD, *rows, END])
    return f"{before}{table}{after}"


def _row(name: str, plans: Sequence[Plan]) -> str:
    first, more = plans[0], len(plans) - 1
    if first.machine.is_cpu:
        figures = ["–"] * 5
    else:
        seen = predicted(first)
        ttft, itl = seen["ttft_ms"], seen["itl_ms"]
        figures = [
            f"{first.load.users or 0:g}",
            f"{ttft['p50']:.0f}/{ttft['p99']:.0f} ms",
            f"{itl['p50']:.0f} ms",
            f"{seen['tokens_per_s']:,.0f}",
            f"{fitting(first):,.0f} users",
        ]
    gpu, nodes = first.machine.gpu, first.machine.nodes
    gpus = "none" if gpu is None else f"{first.best.gpus} × {gpu.name}"
    if nodes > 1:
        gpus += f" in {nodes} nodes"
    if more and gpu is not None:
        gpus += f", and those of {more} distills"
    return f"| `{name}` | {gpus} | {first.best.candidate.name} | {' | '.join(figures)} |"
