"""Which colour a figure has: the thresholds of docs/operations.md. Pure."""

from typing import Literal

Colour = Literal["green", "yellow", "red", "default"]

MEMORY_NORMAL, MEMORY_HIGH = 0.75, 0.85
LATENCY_NORMAL_S, LATENCY_HIGH_S = 0.5, 1.0
ITL_HIGH_S = 0.2
GPU_LOW, GPU_NORMAL_LOW, GPU_NORMAL_HIGH, GPU_HIGH = 0.3, 0.6, 0.9, 0.95


def of_memory(share: float) -> Colour:
    """Of memory in use, or of the KV cache."""
    return _above(share, MEMORY_NORMAL, MEMORY_HIGH)


def of_ttft(seconds: float | None) -> Colour:
    """Of the TTFT of prompts of up to 2048 uncached tokens."""
    return "default" if seconds is None else _above(seconds, LATENCY_NORMAL_S, LATENCY_HIGH_S)


def of_itl(seconds: float | None) -> Colour:
    """Of the time between two tokens."""
    return "default" if seconds is None else _above(seconds, ITL_HIGH_S / 2, ITL_HIGH_S)


def of_gpu(share: float, *, working: bool, strained: bool) -> Colour:
    """Of a GPU's time in use.

    Decoding keeps a GPU above 95 % in health: that is an alarm only while somebody waits or first
    tokens are late. An idle one is an alarm only while there is work.
    """
    if share < GPU_LOW and working:
        return "red"
    if share > GPU_HIGH and strained:
        return "red"
    return "green" if share >= GPU_NORMAL_LOW else "yellow" if working else "default"


def _above(value: float, normal: float, high: float) -> Colour:
    return "green" if value < normal else "red" if value > high else "yellow"
