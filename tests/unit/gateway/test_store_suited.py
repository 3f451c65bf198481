"""What an operator is told of a Redis that may lose what it holds."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gateway.store.redis import Store, StoreDown
from gateway.store.suited import SuitedWatch, faults

GOOD = {
    "keys": {"maxmemory_policy": "noeviction", "aof_enabled": 1, "maxmemory": 0},
    "cache": {"maxmemory_policy": "allkeys-lru", "aof_enabled": 0, "maxmemory": 10**9},
}


def test_each_fault_names_its_mend() -> None:
    assert faults("keys", GOOD["keys"]) == faults("cache", GOOD["cache"]) == []
    # Where INFO is not answered in full, nothing is claimed.
    assert faults("keys", {}) == []
    (policy,) = faults("keys", {**GOOD["keys"], "maxmemory_policy": "allkeys-lru"})
    assert "set noeviction" in policy
    (log,) = faults("keys", {**GOOD["keys"], "aof_enabled": 0})
    assert "set appendonly yes" in log
    (lost,) = faults("keys", {**GOOD["keys"], "evicted_keys": 3})
    assert "r1 keys import" in lost
    assert len(faults("cache", {**GOOD["cache"], "maxmemory_policy": "noeviction"})) == 1
    assert len(faults("cache", {**GOOD["cache"], "maxmemory": 0})) == 1


class Told:
    """A store whose INFO a test gives, and a log."""

    name = "keys"

    def __init__(self, *readings: list[dict[str, Any]] | None) -> None:
        self.readings = list(readings)
        self.said: list[str] = []

    async def info(self) -> list[dict[str, Any]]:
        reading = self.readings.pop(0)
        if reading is None:
            raise StoreDown("TimeoutError")
        return reading

    def warning(self, event: str, *, extra: dict[str, dict[str, str]]) -> None:
        assert event == "store_unsuited"
        self.said.append(extra["fields"]["fault"])

    async def sleep(self, seconds: float) -> None:
        if not self.readings:
            raise EOFError


async def test_it_is_said_once_and_again_when_it_changes() -> None:
    lossy = {**GOOD["keys"], "aof_enabled": 0}
    # Two parts of a cluster with the same fault; away; refused; mended; back.
    told = Told([lossy, lossy], [lossy], None, [GOOD["keys"]], [], [lossy])
    watch = SuitedWatch(cast(Store, told), cast(Any, told), told.sleep)
    with pytest.raises(EOFError):
        await watch.run()
    assert len(told.said) == 2
