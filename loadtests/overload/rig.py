"""A simulated engine of a known capacity, and the gateway in front of it."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.gateways import targets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.gateways.client import Address

TENANTS = tuple(f"tenant-{number}" for number in range(8))
SEQUENCES = 24
STEP_MS, SEQUENCE_MS, PREFILL_US = 15.0, 0.25, 50.0
LONGEST_WAIT_S = 1.5
SLO_S = 2.0
"""Of the TTFT, the wait for a place included."""
BATCHING = {
    "mode": "auto",
    "capacity": SEQUENCES,
    "itl_s": 0.1,
    "ttft_s": 0.5,
    "longest_wait_s": LONGEST_WAIT_S,
}


@dataclass(frozen=True)
class Rig:
    """What runs: the gateway, and a caller of each tenant."""

    gateway: targets.Gateway
    callers: dict[str, Address]

    def workers(self) -> list[int]:
        """Their process numbers."""
        return sorted(each.pid for each in self.gateway.workers())

    def memory(self) -> int:
        """Resident bytes of all workers."""
        return sum(each.memory_info().rss for each in self.gateway.workers())

    def shed(self) -> dict[str, float]:
        """Calls sent away so far, by reason."""
        return self.gateway.counted("r1_rejections_total", "reason")


@contextlib.contextmanager
def rig(bench: targets.Bench, workers: int) -> Iterator[Rig]:
    """Starts all of it, and ends it."""
    port = targets.free_port()
    command = [
        sys.executable, "-m", "serving.simulator",
        "--port", str(port),
        "--model", targets.MODEL,
        "--max-num-seqs", str(SEQUENCES),
        "--step-ms", str(STEP_MS),
        "--sequence-ms", str(SEQUENCE_MS),
        "--prefill-us", str(PREFILL_US),
    ]  # fmt: skip
    engine = bench.spawn("engine", command, bench.cores.load)
    targets.wait_until(lambda: targets.answers(port, "/health"), engine, "the simulated engine")
    with targets.r1(bench, port, bench.redis(), workers=workers, batching=BATCHING) as gateway:
        yield Rig(gateway, {tenant: gateway.caller(tenant) for tenant in TENANTS})
