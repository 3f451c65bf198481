"""Where all workers of all gateways keep the canary's rounds: one hash in the store a model.

Whoever looks when a round is due has it; a worker that dies in the middle of one costs an interval.
What came of the last round is there for all, and so are the records, one a variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.canary.numbers import NoNumbers, Numbers
from gateway.canary.policy import Finding, Standing
from gateway.store.redis import Store

_KEPT_S = 30 * 86400
_RECORD = "record "

# Until it reports, the worker that has a round has it alone.
_LOOK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function field(name) return redis.call('HGET', KEYS[1], name) end
local turn = 0
if now >= tonumber(field('due') or 0)
    or (ARGV[1] == '1' and now >= tonumber(field('early') or 0)) then
  turn = 1
  redis.call('HSET', KEYS[1], 'due', now + ARGV[2], 'early', now + ARGV[2])
end
return {turn, field('state') or '', field('wish') or ''}
"""

_REPORT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], 'due', now + ARGV[1], 'early', now + ARGV[2], 'state', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'heard', ARGV[5]) end
local wish = redis.call('HGET', KEYS[1], 'wish')
if wish and wish == ARGV[4] then
  redis.call('HDEL', KEYS[1], 'wish')
elseif wish then
  redis.call('HSET', KEYS[1], 'due', 0)
end
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], KEPT)
""".replace("KEPT", str(_KEPT_S))

_WISH = "redis.call('HSET', KEYS[1], 'wish', ARGV[1], 'due', 0)"


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica after the last round in which it was asked; `at` is Unix time in seconds.

    `variant` says what it runs, `drift` is in nats, `fault` why it gave no numbers.
    """

    name: str
    variant: str
    at: float
    finding: Finding = "alone"
    drift: float | None = None
    standing: Standing = field(default_factory=Standing)
    fault: str | None = None

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "variant": self.variant,
            "at": self.at,
            "finding": self.finding,
            "drift": self.drift,
            "ejected": self.standing.ejected,
            "against": self.standing.against,
            "fault": self.fault,
        }

    @staticmethod
    def load(told: dict[str, Any]) -> Replica:
        """From JSON."""
        fields = dict(told)
        standing = Standing(fields.pop("ejected"), fields.pop("against"))
        return Replica(**fields, standing=standing)


@dataclass(frozen=True, slots=True)
class State:
    """What came of a model's last round: `replicas` by URL, the variants that have `records`."""

    replicas: Mapping[str, Replica] = field(default_factory=dict)
    records: tuple[str, ...] = ()

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        replicas = {url: each.dump() for url, each in self.replicas.items()}
        return {"replicas": replicas, "records": list(self.records)}

    @staticmethod
    def load(text: str) -> State:
        """From JSON; of one in another form nothing is known."""
        try:
            told = orjson.loads(text)
            replicas = {url: Replica.load(each) for url, each in told["replicas"].items()}
            return State(replicas, tuple(told["records"]))
        except (ValueError, LookupError, TypeError, AttributeError):
            return State()


@dataclass(frozen=True, slots=True)
class Heard:
    """The last wish for records that was heard, and why it was not done, if so."""

    wish: str = ""
    refused: str | None = None


class CanaryBoard:
    """Everything here raises StoreDown."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def look(self, model: str, *, early: bool, lease_s: float) -> tuple[bool, State, str]:
        """Whether the caller has a round now, what came of the last one, and a wish for records.

        `early`: there is a reason not to wait for the interval. The round is the caller's for
        `lease_s` seconds.
        """
        words = (int(early), round(1000 * lease_s))
        turn, state, wish = await self._store.script("canary", _LOOK, _key(model), words)
        return bool(turn), State.load(state), wish

    async def records(self, model: str) -> dict[str, Numbers]:
        """The records of a model, by variant."""
        found = {}
        for name, text in (await self._store.indexed(_key(model))).items():
            if name.startswith(_RECORD):
                try:
                    found[name.removeprefix(_RECORD)] = Numbers.load(orjson.loads(text))
                except (NoNumbers, ValueError):
                    continue
        return found

    async def report(
        self,
        model: str,
        state: State,
        records: Mapping[str, Numbers],
        heard: Heard,
        *,
        interval_s: float,
        early_s: float,
    ) -> None:
        """End a round: the next one is due in `interval_s`, for a reason in `early_s`.

        `records` are new ones, made because a wish was `heard`.
        """
        words: list[Any] = [round(1000 * interval_s), round(1000 * early_s)]
        words += [orjson.dumps(state.dump()), heard.wish]
        words.append(orjson.dumps([heard.wish, heard.refused]))
        for variant, numbers in records.items():
            words += [_RECORD + variant, orjson.dumps(numbers.dump())]
        await self._store.script("canary", _REPORT, _key(model), words)

    async def wish(self, model: str, name: str) -> None:
        """Have the next round, at once, record what the replicas compute; `name` tells wishes
        apart."""
        await self._store.script("canary", _WISH, _key(model), (name,))

    async def state(self, model: str) -> State:
        """What came of the last round."""
        return State.load(await self._store.field(_key(model), "state") or "")

    async def heard(self, model: str) -> Heard:
        """What came of the last wish."""
        told = await self._store.field(_key(model), "heard")
        return Heard() if told is None else Heard(*orjson.loads(told))


def _key(model: str) -> str:
    return f"r1:canary:{model}"
