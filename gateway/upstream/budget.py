"""The retry budget: a share of all requests to a model, of the whole fleet, may be repeated.

Where everything fails, repeating each request twice would triple the load on what is failing. Each
request puts a fraction into a bucket in Redis and each retry takes one out. Workers put in what
their requests earned only when they take out, so a request that succeeds costs no store trip.
"""

from __future__ import annotations

from gateway.settings import RetrySettings
from gateway.store.redis import Store, StoreDown
from gateway.telemetry.metrics import Metrics

_KEPT_S = 600

_TAKE = """
local left = tonumber(redis.call('GET', KEYS[1]) or ARGV[2]) + ARGV[1]
left = math.min(left, tonumber(ARGV[3]))
local taken = 0
if left >= 1 then
  left = left - 1
  taken = 1
end
redis.call('SET', KEYS[1], tostring(left), 'EX', ARGV[4])
return {taken, tostring(left)}
"""


class RetryBudget:
    """Without the store each worker goes by a bucket of its own, of the same size."""

    def __init__(self, store: Store, settings: RetrySettings, metrics: Metrics) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._earned: dict[str, float] = {}
        self._own: dict[str, float] = {}

    def asked(self, model: str) -> None:
        """A request for a model came."""
        self._earned[model] = self._earned.get(model, 0.0) + self._settings.budget_ratio

    async def take(self, model: str) -> bool:
        """Whether one more attempt may be made for a model."""
        settings = self._settings
        earned = self._earned.pop(model, 0.0)
        own = self._own.get(model, settings.budget_reserve) + earned
        self._own[model] = min(own, settings.budget_most)
        try:
            taken, left = await self._store.script(
                "retry",
                _TAKE,
                f"r1:retry:{model}",
                (earned, settings.budget_reserve, settings.budget_most, _KEPT_S),
            )
        except StoreDown:
            # Read again: others took out while this call waited for the store.
            left = self._own[model] - 1.0
            taken = left >= 0.0
        if taken:
            self._own[model] = max(0.0, self._own[model] - 1.0)
        self._metrics.retry_budget(model, max(0.0, float(left)) / settings.budget_most)
        return bool(taken)
