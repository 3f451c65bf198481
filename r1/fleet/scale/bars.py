"""What r1 has to be in each scenario, beside the simpler gateways. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.settings import RetrySettings
from r1.fleet.scale.ledger import recovery_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from r1.fleet.scale.play import Played

NAIVE = 2.0
HELD = 0.95
RECOVERED_S = 30.0
OTHERS_S = 1.0


def allowed(own: Played) -> float:
    """Attempts a question that the retry budget allows: its share, and what was saved up."""
    settings, (start, end) = RetrySettings(), own.scenario.trouble
    asked = sum(start <= each.asked_s < end for each in own.seen)
    return 1.0 + settings.budget_ratio + settings.budget_most / max(1, asked)


def bars(group: Mapping[str, Played]) -> dict[str, bool]:
    """The bars of a scenario that was played with all gateways, and whether they are reached."""
    own = group["r1"]
    others = [played for name, played in group.items() if name != "r1"]
    name, figures = own.scenario.name, own.figures
    kinds = {event.kind for event in own.scenario.events}
    best = max(played.figures.goodput for played in others)
    found: dict[str, bool] = {}
    if "failing" in kinds:
        made, most = figures.amplification, allowed(own)
        found[f"{name}: {made:.2f} attempts a question (≤ {most:.2f})"] = made <= most
        least = min(played.figures.amplification for played in others)
        found[f"{name}: simpler gateways make {least:.2f} (> {NAIVE:.0f})"] = least > NAIVE
    else:
        ratio = figures.goodput / best if best else float("inf")
        found[f"{name}: {ratio:.2f} of the better one's goodput (≥ {HELD})"] = ratio >= HELD
        lost = figures.endings["broken"] + figures.endings["left"]
        found[f"{name}: {lost} answers broken or waited for in vain (0)"] = not lost
    if kinds & {"zone lost", "upgrade"}:
        took = recovery_s(figures.course, own.scenario.events[0].at_s)
        told = "never" if took is None else f"after {took:.0f} s"
        found[f"{name}: new questions as good as before {told} (≤ {RECOVERED_S:.0f} s)"] = (
            took is not None and took <= RECOVERED_S
        )
    if own.scenario.crowds:
        ttft = figures.others_ttft_s
        found[f"{name}: others' TTFT p99 {ttft:.2f} s (≤ {OTHERS_S:.0f} s)"] = ttft <= OTHERS_S
    return found
