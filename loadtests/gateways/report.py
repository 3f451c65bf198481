"""The table of figures, and the bars that they are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Figures:
    """What was measured of one server: medians, times in seconds."""

    values: dict[str, float]

    def ms(self, name: str) -> str:
        """A time in milliseconds."""
        return f"{self.values[name] * 1000:.1f}" if name in self.values else "–"


@dataclass(frozen=True)
class Bar:
    """A claim, what was measured, and whether that reaches it."""

    claim: str
    measured: str
    reached: bool

    def line(self) -> str:
        """For the report."""
        return f"- {'reached' if self.reached else 'MISSED'}: {self.claim}: {self.measured}"


def table(figures: Mapping[str, Figures]) -> str:
    """All servers in Markdown."""
    lines = [
        "| server | short calls, 1 user p50/p99 ms | 32 users, calls/s | 200-token streams, "
        "16 users, tok/s | 500 streams of 20 tok/s: TTFT p50/p99 ms | their tokens late "
        "p50/p99 ms | failed |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {each.ms('one_p50')}/{each.ms('one_p99')} | {each.values['rps']:,.0f} "
        f"| {each.values['tokens']:,.0f} | {each.ms('ttft_p50')}/{each.ms('ttft_p99')} "
        f"| {each.ms('late_p50')}/{each.ms('late_p99')} | {each.values['failed']:.0f} |"
        for name, each in figures.items()
    ]
    return "\n".join(lines)


def bars(figures: Mapping[str, Figures]) -> list[Bar]:
    """All bars whose servers were there."""
    ours, direct = figures["r1"].values, figures["direct"].values
    found = []

    def at_least(other: str, name: str, what: str, factor: float) -> None:
        if other in figures:
            ratio = ours[name] / max(figures[other].values[name], 1e-9)
            claim = f"≥ {factor:g} × {other}'s {what}"
            found.append(Bar(claim, f"{ratio:.2f}", ratio >= factor))

    def at_most(claim: str, value: float, most: float, shown: str) -> None:
        found.append(Bar(claim, shown, value <= most))

    at_least("litellm", "rps", "short calls a second", 15)
    at_least("vllm-router", "rps", "short calls a second", 0.6)
    for part, most in (("p50", 0.001), ("p99", 0.005)):
        added = ours[f"half_{part}"] - direct[f"half_{part}"]
        claim = f"added at half of capacity, {part}, ≤ {most * 1000:g} ms"
        at_most(claim, added, most, f"{added * 1000:.2f} ms")
    at_least("vllm-router", "tokens", "tokens a second", 1.5)
    at_least("litellm", "tokens", "tokens a second", 50)
    if "vllm-router" in figures:
        theirs = figures["vllm-router"].values
        for name in ("ttft_p50", "ttft_p99"):
            claim = f"500 streams: {name.replace('_', ' ').upper()} ≤ vllm-router's"
            shown = f"{ours[name] * 1000:.1f} ms against {theirs[name] * 1000:.1f} ms"
            at_most(claim, ours[name], theirs[name], shown)
    late = ours["late_p99"]
    at_most("no token late by more than its interval at p99", late, 0.05, f"{late * 1000:.1f} ms")
    idle, each = ours["idle"], ours["stream_bytes"]
    at_most("a worker ≤ 120 MB", idle, 120e6, f"{idle / 1e6:.0f} MB")
    at_most("a live stream ≤ 60 KB", each, 60e3, f"{each / 1e3:.1f} KB")
    return found
