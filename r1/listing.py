"""Tables of what the catalog and the hardware folder hold, for people and as JSON."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from serving.catalog import Catalog, Model
from serving.catalog.arithmetic import kv_bytes_per_token
from serving.hardware import Machine

GB = 1_000_000_000
WIDTH = 140


def builds(catalog: Catalog) -> list[dict[str, Any]]:
    """Every build of every model, with bytes by the class of its tensors."""
    return [row for model in catalog for row in _builds(model)]


def machines(ids: Iterable[str]) -> list[dict[str, Any]]:
    """The machine shapes with these ids."""
    return [_machine(Machine.load(each)) for each in ids]


def print_builds(rows: Iterable[dict[str, Any]]) -> None:
    """A line a build; the model's id only at its first, which is the one that is served."""
    table = Table("model", "build", "format", "GB", "engines", "from", box=None, pad_edge=False)
    last = None
    for row in rows:
        name = row["model"] if row["model"] != last else ""
        last = row["model"]
        size = f"{row['bytes']['total'] / GB:,.1f}"
        table.add_row(name, row["build"], row["format"], size, ", ".join(row["engines"]), row["at"])
    _print(table)


def print_machines(rows: Iterable[dict[str, Any]]) -> None:
    """A line a shape."""
    heads = ("machine", "what it is", "GPUs", "of", "GiB each", "GB/s", "USD an hour (example)")
    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        price = "" if row["usd_per_hour"] is None else f"{row['usd_per_hour']:g}"
        speed = "" if row["bandwidth_gb_s"] is None else f"{row['bandwidth_gb_s']:g}"
        count, memory = str(row["gpus"] or ""), f"{row['memory_gib']:g}"
        gpu = row["gpu"] or ""
        table.add_row(row["machine"], row["title"], count, gpu, memory, speed, price)
    _print(table)


def _print(table: Table) -> None:
    # Wide enough for every id and place: they are there to be copied.
    Console(highlight=False, width=max(Console().width, WIDTH)).print(table)


def _builds(model: Model) -> Iterable[dict[str, Any]]:
    for build in model.builds:
        size = model.using(build.id).weight_bytes
        licence = build.licence or model.licence
        yield {
            "model": model.id,
            "build": build.id,
            "format": build.format,
            "engines": list(build.engines),
            "at": build.hub or build.package,
            "ollama": build.ollama,
            "least_vllm": build.least_vllm,
            "licence": licence.id,
            "gated": licence.gated,
            "bytes": {
                "embedding": size.embedding,
                "head": size.head,
                "attention": size.attention,
                "dense": size.dense,
                "router": size.router,
                "routed": size.routed,
                "norms": size.norms,
                "mtp": size.mtp,
                "total": size.total,
            },
            "kv_bytes_per_token": kv_bytes_per_token(
                model.architecture, element_bytes=4 if build.format == "float32" else 2
            ),
            "source": build.source,
        }


def _machine(machine: Machine) -> dict[str, Any]:
    computes = machine.gpu or machine.processor
    memory = machine.host_memory_gib if machine.gpu is None else machine.gpu.memory_gib
    return {
        "machine": machine.id,
        "title": machine.title,
        "nodes": machine.nodes,
        "gpus": machine.gpus,
        "gpu": None if machine.gpu is None else machine.gpu.id,
        "memory_gib": None if memory is None else memory.value,
        "bandwidth_gb_s": None if computes is None else computes.bandwidth_gb_s.value,
        "tflops": {} if computes is None else computes.tflops.values,
        "usd_per_hour": None if machine.usd_per_hour is None else machine.usd_per_hour.value,
    }
