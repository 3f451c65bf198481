"""What the machines below do: GPUs, their memory and health, the hosts."""

from __future__ import annotations

from scripts.observability.dashboards import colors
from scripts.observability.dashboards.model import Board, Panel, Query, Row, Step
from scripts.observability.dashboards.series import (
    HERE,
    MODEL,
    NODE_ONE,
    highest,
    recorded,
)

_OF_HOST = "{{host}} GPU {{gpu}}"
_OF_NODE = "{{node}} GPU {{gpu}}"


def _exported(
    title: str, about: str, unit: str, series: str, steps: tuple[Step, ...] = ()
) -> Panel:
    return Panel(
        title, about, unit, (Query(recorded(series, HERE), _OF_NODE),), steps=steps, decimals=0
    )


def _share(title: str, about: str, series: str, legend: str = _OF_NODE) -> Panel:
    return Panel(title, about, "percentunit", (Query(recorded(series, HERE), legend),), highest=1)


def _count(title: str, about: str, series: str, legend: str = _OF_NODE) -> Panel:
    return Panel(
        title,
        about,
        "none",
        (Query(recorded(series, HERE), legend),),
        kind="bars",
        height=5,
        steps=colors.NONE_IS_WELL,
        decimals=0,
    )


_USE = Row(
    "Use",
    (
        Panel(
            "GPU utilisation",
            "Share of time in which each GPU computed. Normal 60 to 90 %. Above 95 % is healthy "
            "decoding unless requests wait; below 30 % while requests run is a stall: look at "
            "Engine, then at the host.",
            "percentunit",
            (Query(recorded("r1:gpu_utilization_ratio", HERE), _OF_HOST),),
            steps=colors.GPU,
            highest=1,
            board="r1-engine",
        ),
        _share(
            "GPU memory used",
            "Share in use. vLLM reserves about 92 % when it starts, so a high figure is health; "
            "what can fill up is the KV cache beside this.",
            "r1:gpu_memory_used_ratio",
            _OF_HOST,
        ),
        Panel(
            "KV cache used",
            "Share of KV blocks in use, of each replica. Normal below 75 %, alert above 85 %.",
            "percentunit",
            (Query(recorded("r1:kv_cache_used_ratio", MODEL), "{{model}} {{instance}}"),),
            steps=colors.MEMORY,
            highest=1,
            board="r1-engine",
        ),
        Panel(
            "Host memory used",
            "Share of the node's memory, or of the container's limit. Normal below 75 %, alert "
            "above 85 %: next the kernel ends the largest process.",
            "percentunit",
            (Query(highest("r1_memory_used_ratio", NODE_ONE, "instance"), "{{instance}}"),),
            steps=colors.MEMORY,
            highest=1,
        ),
        Panel(
            "Host memory, by Ray",
            "What Ray counts as used on each of its nodes, of the host or of the container.",
            "percentunit",
            (
                Query(
                    f"{highest('ray_node_mem_used', HERE, 'ip')}"
                    f" / {highest('ray_node_mem_total', HERE, 'ip')}",
                    "{{ip}}",
                ),
            ),
            steps=colors.MEMORY,
            highest=1,
        ),
        Panel(
            "Processors",
            "Share of the hosts' processors in use. Tokenizing, sampling and streaming need some: "
            "full processors starve GPUs.",
            "percent",
            (Query(highest("ray_node_cpu_utilization", HERE, "ip"), "{{ip}}"),),
            highest=100,
        ),
    ),
)

_DEVICES = Row(
    "Devices (dcgm-exporter)",
    (
        _share(
            "Tensor cores",
            "Share of cycles in which they worked: high in prefill, low in decode.",
            "r1:gpu_tensor_active_ratio",
        ),
        _share(
            "Memory traffic",
            "Share of cycles in which memory was read or written: what bounds decoding.",
            "r1:gpu_dram_active_ratio",
        ),
        _share(
            "Clocks held back",
            "Share of time, by reason. thermal: cooling; power: the GPU's limit; board: the "
            "machine's supply.",
            "r1:gpu_throttled:ratio",
            f"{_OF_NODE} {{{{reason}}}}",
        ),
        _exported(
            "Temperature",
            "From about 85 degrees on clocks are reduced.",
            "celsius",
            "r1:gpu_temperature_celsius",
            colors.DEGREES,
        ),
        _exported(
            "Power",
            "One GPU that draws much less than its siblings at the same load is throttled.",
            "watt",
            "r1:gpu_power_watts",
        ),
    ),
)

_FAULTS = Row(
    "Faults (dcgm-exporter)",
    (
        _count(
            "Last XID error",
            "0 is none. 13, 31 and 43 are programs' faults; 48, 63, 64, 74, 79, 94, 95 and 119 the "
            "device's: drain the node.",
            "r1:gpu_xid",
        ),
        _count(
            "Memory errors in an hour",
            "Double-bit errors, which can't be corrected: restart the engines on it.",
            "r1:gpu_ecc_errors:increase",
        ),
        _count(
            "Rows remapped in an hour",
            "After errors that could not be corrected. Several: the GPU wears out.",
            "r1:gpu_rows_remapped:increase",
        ),
        _count(
            "Row remapping failed",
            "1: the GPU has to be replaced.",
            "r1:gpu_remap_failure",
        ),
        _count(
            "NVLink errors in 15 minutes",
            "By kind. Any replay or recovery slows tensor parallelism for all ranks.",
            "r1:gpu_nvlink_errors:increase",
            f"{_OF_NODE} {{{{kind}}}}",
        ),
    ),
)

GPUS = Board(
    "r1-gpus",
    "r1 / GPUs and memory",
    "What the machines below do: GPUs, their memory and health, the hosts.",
    (_USE, _DEVICES, _FAULTS),
    instances="r1_memory_used_ratio",
)
