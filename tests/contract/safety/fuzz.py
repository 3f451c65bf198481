"""Requests by chance, at every route of both ports, and what came of them.

python -m tests.contract.safety.fuzz [REQUESTS]

A part comes from the ports' own OpenAPI documents (schemathesis: values that fit a schema, and
values that don't), a part from valid requests with something wrong in them, and a part from
requests with something wrong in their bytes.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import requests
import schemathesis
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from gateway.api import admin, cache, health
from tests.contract.safety.wire import request
from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator
from tests.property.gateway.test_malformed import VALID, spoil

_PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
}
_AT_ONCE = 32
_BYTES = b"\r\n\x00\x1b\xff :;,{}[]\"'%/?#\t0-1Aa"


class Tally:
    """What came of the requests. A status of 0: the connection was closed without an answer."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.bad: list[str] = []

    def count(self, status: int, what: object) -> None:
        """One answer; those of 500 and more are kept."""
        self.statuses[status] += 1
        if status >= 500 and len(self.bad) < 20:
            self.bad.append(f"{status}: {what!r}"[:2000])


def api_document(gateway: Gateway) -> dict[str, Any]:
    """The API port's own document, for a model and a patience that are there."""
    document: dict[str, Any] = HTTP.get(gateway.url + "/openapi.json").json()
    for schema in document["components"]["schemas"].values():
        if "model" in schema.get("properties", {}):
            schema["properties"]["model"] = {"enum": ["r1-nano", "deepseek-r1"]}
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "x-request-timeout":
                    # A caller who gives no time gets 504, and that is no fault.
                    parameter["schema"] = {"type": "integer", "minimum": 30}
    return document


def admin_document() -> dict[str, Any]:
    """A document of the admin port's routes."""
    nothing: Any = None
    guard = admin.admins_only(nothing, None, float)
    app = FastAPI(openapi_url=None)
    app.include_router(health.make_router(lambda: None))
    app.include_router(admin.make_keys_router(nothing, guard))
    app.include_router(admin.make_usage_router(nothing, guard))
    app.include_router(cache.make_cache_router(nothing, dict, guard))
    return get_openapi(title="admin", version="1", routes=app.routes)


def from_document(
    document: dict[str, Any], url: str, key: str, count: int, tally: Tally, number: int
) -> None:
    """About `count` requests by a document, spread over its operations."""
    found = schemathesis.openapi.from_dict(document).get_all_operations()
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    session = requests.Session()
    session.trust_env = False
    session.headers["authorization"] = f"Bearer {key}"
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            cases = operation.as_strategy(generation_mode=mode)

            @seed(number)
            @settings(
                max_examples=max(1, count // (2 * len(operations))),
                database=None,
                deadline=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            )
            @given(cases)
            def ask(case: Case[Any]) -> None:
                # Not a request: requests' own refusal to write such a header.
                with suppress(requests.exceptions.InvalidHeader):
                    answer = case.call(base_url=url, session=session)
                    tally.count(answer.status_code, (case.method, case.path, case.body))

            # No value is wrong for an operation that takes none.
            with suppress(Unsatisfiable):
                ask()
    session.close()


async def from_requests(gateway: Gateway, count: int, tally: Tally, number: int) -> None:
    """`count` valid requests with one to three things wrong in their bodies."""
    rng, left = random.Random(number), iter(range(count))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=gateway.headers) as session:

        async def ask() -> None:
            for _ in left:
                api = rng.choice(sorted(VALID))
                body = spoil({**VALID[api], "model": "r1-nano"}, rng)
                async with session.post(gateway.url + _PATHS[api], data=body) as answer:
                    await answer.read()
                    tally.count(answer.status, (api, body))

        await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))


async def from_bytes(gateway: Gateway, count: int, tally: Tally, number: int) -> None:
    """`count` requests with one to four bytes changed, left out or put in."""
    rng, left = random.Random(number), iter(range(count))

    async def ask() -> None:
        for _ in left:
            data = bytearray(request(gateway, "connection: close", "x-request-id: a"))
            for _ in range(rng.randint(1, 4)):
                place, byte = rng.randrange(len(data)), rng.choice(_BYTES)
                kind = rng.randrange(3)
                data[place : place + (kind != 1)] = bytes((byte,)) if kind else b""
            tally.count(await _answered(gateway.port, bytes(data)), bytes(data))

    await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))


async def _answered(port: int, data: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def fuzz(gateway: Gateway, count: int, *, by_document: int, number: int = 1) -> Tally:
    """About `count` requests, `by_document` of them by documents, a tenth with bytes changed."""
    tally = Tally()
    to_admin = by_document // 5
    from_document(
        api_document(gateway), gateway.url, gateway.key, by_document - to_admin, tally, number
    )
    from_document(admin_document(), gateway.admin_url, gateway.admin_key, to_admin, tally, number)
    asyncio.run(from_bytes(gateway, count // 10, tally, number))
    asyncio.run(from_requests(gateway, count - tally.statuses.total(), tally, number))
    return tally


def make_gateway(folder: Path, redis: RedisServer, engine: Simulator) -> Gateway:
    """A gateway that does not wait long for the end of broken requests."""
    return Gateway(
        folder / "fuzzed",
        redis,
        [{"url": engine.url}],
        listen={"workers": 2, "header_timeout_s": 1, "body_timeout_s": 1},
        pool={"failures": 10**6, "failure_gap": 1},
    )


def tracebacks(gateway: Gateway) -> int:
    """How many there are in the log, as text or as events."""
    return gateway.text().count("Traceback") + len(gateway.events("internal_error"))


def main() -> int:
    """Command line: prints what was measured."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        redis, engine = RedisServer(folder), Simulator(folder)
        gateway = make_gateway(folder, redis, engine)
        try:
            number = random.randrange(2**32)
            tally = fuzz(gateway, count, by_document=count // 20, number=number)
            print(f"requests: {tally.statuses.total()} (seed {number})")
            print(f"answers by status: {json.dumps(dict(sorted(tally.statuses.items())))}")
            print(f"5xx: {sum(n for status, n in tally.statuses.items() if status >= 500)}")
            print(f"tracebacks: {tracebacks(gateway)}")
            for each in tally.bad:
                print(each, file=sys.stderr)
            return 1 if tally.bad or tracebacks(gateway) else 0
        finally:
            for process in (gateway, engine, redis):
                process.end()


if __name__ == "__main__":
    raise SystemExit(main())
