"""Which adapters a model is to have, said at run time: one hash in Redis for all its replicas.

Contract (docs/architecture.md): `r1:adapters:<model>`, in a Redis Cluster `{r1}:adapters:<model>`,
has a field for each adapter: its name, with the folder it lies in, or nothing where an adapter that
the deployment declares is not to be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serving.registry import key_in

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster


class WantedAdapters:
    """Of one model. Every method raises one of the registry's `STORE_FAULTS`."""

    def __init__(self, redis: Redis | RedisCluster, model: str) -> None:
        """Name the model; nothing is asked yet."""
        self._redis: Any = redis
        self._key = key_in(redis, f"r1:adapters:{model}")

    async def read(self) -> dict[str, str]:
        """Folders by name."""
        said = await self._redis.hgetall(self._key)
        return {_text(name): _text(folder) for name, folder in said.items()}

    async def load(self, name: str, folder: str) -> None:
        """Have an adapter."""
        await self._redis.hset(self._key, name, folder)

    async def unload(self, name: str) -> None:
        """Have it no more, whoever asked for it."""
        await self._redis.hset(self._key, name, "")

    async def forget(self, name: str) -> None:
        """Say nothing about an adapter: what the deployment declares counts again."""
        await self._redis.hdel(self._key, name)

    async def clear(self) -> None:
        """Say nothing at all."""
        await self._redis.delete(self._key)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
