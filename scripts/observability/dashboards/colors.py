"""The colours of values: the table of thresholds, and what else has a limit."""

from __future__ import annotations

from scripts.observability.dashboards.model import BLUE, GREEN, RED, YELLOW, Step

NORMAL = (Step(None, GREEN),)
PLAIN = (Step(None, BLUE),)
"""A figure that is neither good nor bad."""

MEMORY = (Step(None, GREEN), Step("memory_normal", YELLOW), Step("memory_high", RED))
"""Share of memory in use: normal below 75 %, alert above 85 %."""
LATENCY = (Step(None, GREEN), Step("latency_normal_s", YELLOW), Step("latency_high_s", RED))
"""Seconds: normal below 500 ms, alert above 1 s."""
GPU = (
    Step(None, RED),
    Step("gpu_low", YELLOW),
    Step("gpu_normal_low", GREEN),
    Step("gpu_normal_high", YELLOW),
    Step("gpu_high", RED),
)
"""Share of time computing: normal 60 to 90 %, alert below 30 % or above 95 %."""
LOAD = (Step(None, BLUE), Step("batch_low_qps", GREEN), Step("batch_high_qps", YELLOW))
"""Requests a second at which the batch window begins with 4 (below 10) or with 32 (above 100)."""

FAULTS = (Step(None, GREEN), Step(0.01, YELLOW), Step(0.05, RED))
"""Share of requests or streams that went wrong."""
NONE_IS_WELL = (Step(None, GREEN), Step(1, RED))
"""A count of which one is too many."""
SOME_IS_WORTH_A_LOOK = (Step(None, GREEN), Step(1, YELLOW))
AT_LEAST_ONE = (Step(None, RED), Step(1, GREEN))
SILENCE = (Step(None, GREEN), Step("worker_silent_s", RED))
"""Seconds since a worker of a gateway last said that it works."""
BUDGET = (Step(None, RED), Step(0.2, YELLOW), Step(0.5, GREEN))
"""Share that is left."""
DEGREES = (Step(None, GREEN), Step(80, YELLOW), Step(88, RED))
"""Degrees Celsius of a GPU: most throttle between 85 and 95."""
