"""The replicas that a model has, as they register themselves in Redis (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from gateway.settings_types import http_url
from gateway.store.redis import Store

# Names are given here, so that a replica has the same one in all workers of all gateways: the
# lowest number that no other has. They stay bounded by how many there are at once.
_READ = """
local now = tonumber(redis.call('TIME')[1])
local names = {}
local taken = {}
local flat = redis.call('HGETALL', KEYS[2])
for i = 1, #flat, 2 do names[flat[i]] = flat[i + 1] end
local living = {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local expiry = tonumber(string.match(fields[i + 1], '^(%d+) '))
  if expiry and expiry > now then living[#living + 1] = {fields[i], fields[i + 1]} end
end
local keep = {}
for _, entry in ipairs(living) do
  keep[entry[1]] = true
  if names[entry[1]] then taken[names[entry[1]]] = true end
end
for url, _ in pairs(names) do
  if not keep[url] then redis.call('HDEL', KEYS[2], url) end
end
local result = {}
local number = 1
for _, entry in ipairs(living) do
  local name = names[entry[1]]
  if not name then
    while taken[tostring(number)] do number = number + 1 end
    name = tostring(number)
    taken[name] = true
    redis.call('HSET', KEYS[2], entry[1], name)
  end
  result[#result + 1] = {name, entry[1], string.match(entry[2], ' (.*)$')}
end
return result
"""


@dataclass(frozen=True, slots=True)
class Replica:
    """A registered replica. `capacity` is the sequences it runs at once, `weights` where its
    weights came from."""

    name: str
    url: str
    capacity: int | None
    draining: bool
    adapters: tuple[str, ...]
    weights: str = ""


async def read_replicas(store: Store, model: str) -> list[Replica]:
    """The replicas of `model` whose entries have not expired. Raises StoreDown."""
    key = f"r1:replicas:{model}"
    return parse(await store.script("replicas", _READ, (key, f"{key}:names"), ()))


def parse(entries: Iterable[Sequence[str]]) -> list[Replica]:
    """Replicas from rows of number, URL and JSON; a row that can't be read is left out.

    A replica in a state that is not known here takes nothing new.
    """
    replicas = []
    for number, url, text in entries:
        try:
            told, base = orjson.loads(text), http_url(url)
        except ValueError:
            continue
        if not isinstance(told, dict):
            continue
        capacity, adapters = told.get("capacity"), told.get("adapters")
        weights = told.get("weights")
        replicas.append(
            Replica(
                name=f"replica-{number}",
                url=base,
                capacity=capacity if isinstance(capacity, int) else None,
                draining=told.get("state") != "ready",
                adapters=tuple(map(str, adapters)) if isinstance(adapters, list) else (),
                weights=weights if isinstance(weights, str) else "",
            )
        )
    return replicas
