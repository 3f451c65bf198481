"""The faults that there are, in the order of the table."""

from __future__ import annotations

from loadtests.chaos.faults import (
    Fault,
    Frozen,
    Killed,
    RedisFlushed,
    RedisFull,
    RedisKilled,
    Slow,
    WorkerKilled,
)
from loadtests.chaos.host import ClockJump, DiskFull, LittleMemory
from loadtests.chaos.network import Disturbed, Filtered, NamesGone
from loadtests.chaos.wire import State


def catalog() -> tuple[Fault, ...]:
    """All of them, new."""
    return (
        Killed(),
        Frozen(),
        Slow(),
        Disturbed("wrong bytes", servers=("engine-0",), state=State(noise=0.1)),
        Disturbed("connection resets", servers=("engine-0",), state=State(cuts=0.1)),
        Filtered("engine partitioned", hold_s=45.0, servers=("engine-0",)),
        Filtered("packet loss, 10 %", hold_s=5.0, share=0.1),
        Disturbed("delay, 200 ms", hold_s=5.0, state=State(delay_s=0.2)),
        NamesGone(),
        RedisKilled(),
        Disturbed("Redis slow", hold_s=4.0, stores=True, servers=("redis",), state=State(1.5)),
        Filtered("Redis partitioned", hold_s=4.0, stores=True, servers=("redis",)),
        RedisFlushed(),
        RedisFull(),
        WorkerKilled(),
        DiskFull(),
        ClockJump("clock an hour ahead", by_s=3600),
        ClockJump("clock an hour back", by_s=-3600),
        LittleMemory(),
    )
