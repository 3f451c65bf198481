"""A frame as text for a terminal of 80 columns and more."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from r1.panel import colours
from r1.panel.figures import Frame, ModelFigures

_BAR = 20


def screen(frame: Frame, title: str) -> RenderableType:
    """The whole frame; `title` says where it is from."""
    parts: list[RenderableType] = [Text(title, style="bold", overflow="ellipsis", no_wrap=True)]
    if frame.store_degraded:
        parts.append(Text("the store is degraded: keys, limits or cache work without it", "red"))
    parts.append(_table(frame))
    for name, share in frame.memory.items():
        parts.append(bar(f"memory {name}", share, colours.of_memory(share)))
    for model in frame.models:
        if model.kv_used is not None:
            style = colours.of_memory(model.kv_used)
            parts.append(bar(f"KV {model.id}", model.kv_used, style))
    working = any(each.running for each in frame.models)
    strained = any(
        each.waiting or colours.of_ttft(each.short_ttft_p95) == "red" for each in frame.models
    )
    for gpu in frame.gpus:
        if gpu.busy is not None:
            style = colours.of_gpu(gpu.busy, working=working, strained=strained)
            parts.append(bar(f"GPU {gpu.name} busy", gpu.busy, style))
        if gpu.memory is not None:
            # vLLM takes nearly all of it at its start, so it says nothing: the KV cache does.
            parts.append(bar(f"GPU {gpu.name} mem", gpu.memory, "default"))
    return Group(*parts)


def _table(frame: Frame) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=False)
    table.add_column("model", overflow="ellipsis", no_wrap=True, max_width=15)
    for name in ("up", "run", "wait", "req/s", "TTFT p50 p95", "ITL p50 p95", "tok/s", "hit %"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in frame.models:
        table.add_row(*_row(each))
    if not frame.models:
        table.add_row("no model yet")
    return table


def _row(each: ModelFigures) -> list[RenderableType]:
    up = Text(f"{each.up}/{each.replicas}", "green" if each.up == each.replicas else "red")
    if each.ejected:
        up.append(f" -{each.ejected}", "red")
    # Colours go by short prompts: a long one may take its time.
    late = colours.of_ttft(each.short_ttft_p95)
    rate = Text(number(each.requests))
    if each.failures:
        rate.append(f" !{number(each.failures)}", "red")
    # Of the answer cache, and of the engines' prefix caches.
    hits = " ".join(percent(share)[:-1] or "-" for share in (each.cache_hits, each.prefix_hits))
    return [
        each.id,
        up,
        f"{each.running:.0f}",
        Text(f"{each.waiting:.0f}", "yellow" if each.waiting else ""),
        rate,
        Text(f"{seconds(each.ttft)} {seconds(each.ttft_p95)}", late),
        Text(f"{seconds(each.itl)} {seconds(each.itl_p95)}", colours.of_itl(each.itl_p95)),
        number(each.tokens),
        hits,
    ]


def bar(name: str, share: float, style: str) -> Text:
    """A bar of a share from 0 to 1."""
    full = round(min(max(share, 0.0), 1.0) * _BAR)
    text = Text(f"{name[:34]:<34} ")
    text.append("█" * full, style)
    text.append("░" * (_BAR - full), "dim")
    return text.append(f" {percent(share):>4}", style)


def seconds(value: float | None) -> str:
    """A time in at most five characters."""
    if value is None:
        return "-"
    if value < 0.0995:
        return f"{value * 1000:.1f}ms"[:6] if value < 0.00995 else f"{value * 1000:.0f}ms"
    if value < 0.9995:
        return f"{value * 1000:.0f}ms"
    return f"{value:.1f}s" if value < 99.5 else f"{value / 60:.0f}min"


def number(value: float) -> str:
    """A figure in at most five characters."""
    if value < 9.95:
        return f"{value:.1f}"
    if value < 9999.5:
        return f"{value:.0f}"
    return f"{value / 1000:.0f}k"


def percent(share: float | None) -> str:
    """A share in percent."""
    return "-" if share is None else f"{100 * share:.0f}%"
