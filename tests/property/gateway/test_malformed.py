"""Wrong requests get a 4xx that names the field, in every API; never an exception, never a 5xx."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.inference import InferenceRoute
from gateway.auth.keys import KeyRecord
from gateway.auth.terms import Terms
from gateway.call import Call, Message
from gateway.errors import GatewayError, InvalidRequest
from gateway.in_flight import InFlight
from gateway.limits.estimate import Estimates
from gateway.limits.hold import KeyLimits
from gateway.limits.leases import Leases
from gateway.limits.settler import Settler
from gateway.limits.standing import Standing
from gateway.model_settings import Advice, Defaults, ModelSettings
from gateway.pipeline import Pipeline, Try
from gateway.protocol.advice import advise
from gateway.protocol.request import Api, Asked, parse
from gateway.router import Router
from gateway.settings import Bounds, Listen, PoolSettings
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sheet import Sheet, make_files
from gateway.telemetry.spans import NoSpans, Tracing
from gateway.telemetry.trace import UNTRACED
from gateway.upstream.dialects.llamacpp import LlamaCpp
from gateway.upstream.dialects.ollama import Ollama
from gateway.upstream.dialects.openai import OpenAi
from gateway.upstream.dialects.vllm import Vllm
from gateway.upstream.fit import FitContext
from gateway.upstream.pool import make_model

MESSAGES: Any = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is 7+5?"}]},
    {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": []},
    {"role": "tool", "tool_call_id": "a", "content": "12"},
    {"role": "assistant", "content": "The", "prefix": True, "reasoning_content": ""},
]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
VALID: dict[Api, dict[str, Any]] = {
    "chat": {
        "model": "m",
        "messages": MESSAGES,
        "n": 2,
        "stop": ["a"],
        "logprobs": True,
        "top_logprobs": 3,
        "tools": TOOLS,
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {"type": "object"}},
        },
        "seed": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
        "logit_bias": {"5": 1.5},
        "user": "u",
        "thinking": {"type": "enabled"},
        "reasoning_effort": "low",
        "chat_template_kwargs": {"thinking": True},
        "max_completion_tokens": 100,
    },
    "completions": {
        "model": "m",
        "prompt": ["a", "b"],
        "echo": True,
        "logprobs": 2,
        "max_tokens": 4000,
        "stop": "x",
    },
    "responses": {
        "model": "m",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "reasoning", "summary": [], "content": [{"type": "x", "text": "y"}]},
        ],
        "instructions": "Be brief.",
        "max_output_tokens": 4000,
        "reasoning": {"effort": "high"},
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "store": False,
    },
    "messages": {
        "model": "m",
        "max_tokens": 4000,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stop_sequences": ["x"],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "thinking": {"type": "enabled", "budget_tokens": 100},
    },
    "count_tokens": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
}
JUNK: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 1e300, 2**63, "", "x", "none", "assistant", "\x00", "é" * 40),
    *([], {}, [None], [[]], [{}], {"": None}, {"type": "text"}, {"role": "user"}, ["a"] * 200),
]
EVERYTHING = Advice(
    system_prompt="folded", boxed="always", force_think=True, echoed_reasoning="accept"
)
DIALECTS = (
    Vllm(),
    OpenAi(opens_think=False),
    LlamaCpp(opens_think=True),
    Ollama(opens_think=False),
)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
JSON = st.recursive(
    PLAIN | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
APIS = st.sampled_from(sorted(VALID))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    found = [path] if path else []
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        found += places(inner, (*path, key))
    return found


def spoil(body: dict[str, Any], rng: random.Random) -> bytes:
    """A valid body with one to three things wrong with it."""
    body = deepcopy(body)
    for _ in range(rng.randint(1, 3)):
        *way, last = rng.choice(places(body) or [(None,)])
        if last is None:
            break
        inner: Any = body
        for step in way:
            inner = inner[step]
        if rng.random() < 0.2:
            del inner[last]
        else:
            inner[last] = deepcopy(rng.choice(JUNK))
    data = json.dumps(body).encode()
    kind = rng.random()
    if kind < 0.1:
        data = data[: rng.randrange(len(data))]
    elif kind < 0.2:
        place = rng.randrange(len(data))
        data = data[:place] + bytes((rng.randrange(256),)) + data[place + 1 :]
    elif kind < 0.25:
        data = b"[" * rng.randrange(1, 2000) + data
    return data


def ready(asked: Asked) -> None:
    """All that the gateway does with a request before it is sent."""
    for dialect in DIALECTS:
        for advice in (Advice(), EVERYTHING):
            try:
                advised = advise(asked, advice)
                json.dumps(dialect.body(advised, "served", Defaults()))
            except GatewayError as refusal:
                assert refusal.status < 500  # noqa: PT017
                continue
            if asked.stream:
                dialect.stream(advised, "m", 3)


async def anyone(authorization: str | None) -> Any:
    """Every key is good."""
    return KeyRecord("k", "n", "t", 0, "r1-abcd…", None, Terms(tpm=10**9, usd_per_day=1.0))


class Roomy:
    """A ledger in which there is room for everything."""

    async def reserve(self, *what: Any) -> Standing:
        return Standing("ok", 0)


class Counting(FitContext):
    """The upstream's tokenizer always counts 10."""

    def __init__(self) -> None:
        self._client: Any = self

    async def count_tokens(self, *_: Any) -> int:
        return 10

    count_message_tokens = count_tokens


class Echo:
    """Does all that an attempt does but the HTTP."""

    def __init__(self) -> None:
        self._fit = Counting()

    async def __call__(self, call: Call) -> None:
        upstream = call.model.pool.upstreams[0]
        body = upstream.dialect.body(call.asked, "served", Defaults())
        await self._fit(call.asked, body, upstream, call.model.settings.timeouts)
        json.dumps(body)
        upstream.dialect.stream(call.asked, "m", 3)
        await call.reply(200, b"{}")


class Uncached:
    """Always generates."""

    async def __call__(self, call: Call, generate: Try) -> None:
        await generate(call)


class Door:
    """The gateway's inference routes, without HTTP."""

    def __init__(self) -> None:
        metrics = Metrics(Meter(Sheet(make_files())))
        settings = ModelSettings.model_validate(
            {
                "id": "m",
                "context_length": 4096,
                "advice": EVERYTHING,
                "upstreams": [{"url": "http://127.0.0.1:1"}],
            }
        )
        authenticate: Any = anyone
        ledger: Any = Roomy()
        model = make_model(
            settings,
            lambda _: None,
            PoolSettings(),
            metrics,
            now=lambda: 0.0,
            draw=lambda: 0.0,
        )
        pipeline = Pipeline(
            listen=Listen(),
            bounds=Bounds(),
            authenticate=authenticate,
            router=Router([model]),
            metrics=metrics,
            limits=KeyLimits(
                ledger,
                Settler(ledger, metrics, "w", asyncio.sleep, most=1),
                Leases(ledger, asyncio.sleep, lease_s=30.0),
                Estimates(),
                make_id=lambda: "id",
                sleep=asyncio.sleep,
            ),
            cache=Uncached(),
            attempt=Echo(),
        )
        self._routes = {
            api: InferenceRoute(
                api,
                pipeline,
                metrics,
                logging.getLogger("test.malformed"),
                Tracing(lambda headers: UNTRACED, NoSpans()),
                InFlight(),
                now=lambda: 0.0,
                make_id=lambda: "id",
            )
            for api in VALID
        }

    async def post(self, api: Api, body: bytes) -> tuple[int, bytes]:
        """The answer's status and body."""
        sent: list[Message] = []
        gone = asyncio.Event()
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if given:
                return given.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: Message = {"type": "http", "headers": [(b"authorization", b"Bearer x")]}
        await self._routes[api](scope, receive, send)
        return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])


async def knock(count: int, seed: int) -> dict[int, int]:
    """How many answers had each status."""
    logging.getLogger("test.malformed").setLevel(logging.CRITICAL)
    door, rng = Door(), random.Random(seed)
    statuses: dict[int, int] = {}
    for _ in range(count):
        api = rng.choice(sorted(VALID))
        body = spoil(VALID[api], rng)
        status, answer = await door.post(api, body)
        assert status < 500, (api, body, answer)
        if status != 200:
            error = json.loads(answer)["error"]
            assert error["message"]
            assert status in (400, 404)
        statuses[status] = statuses.get(status, 0) + 1
    return statuses


async def test_the_valid_requests_are_valid() -> None:
    door = Door()
    for api, body in VALID.items():
        assert (await door.post(api, json.dumps(body).encode()))[0] == 200, api


async def test_wrong_requests_are_refused() -> None:
    statuses = await knock(2000, seed=1)
    assert statuses[400] > 1000


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_hundred_thousand_wrong_requests() -> None:
    statuses = await knock(100_000, seed=2)
    print(statuses)
    assert sum(statuses.values()) == 100_000
    assert not [status for status in statuses if status >= 500]


@given(st.data(), APIS)
def test_no_value_in_any_place_is_worse_than_refused(data: st.DataObject, api: Any) -> None:
    body = deepcopy(VALID[api])
    *way, last = data.draw(st.sampled_from(places(body)))
    inner: Any = body
    for step in way:
        inner = inner[step]
    inner[last] = data.draw(JSON)
    try:
        asked = parse(json.dumps(body).encode(), api, max_depth=20)
        ready(asked)
    except InvalidRequest:
        return


@given(st.dictionaries(st.sampled_from(sorted({*VALID["chat"], "prompt"})), JSON), APIS)
def test_no_body_is_worse_than_refused(body: dict[str, Any], api: Any) -> None:
    try:
        asked = parse(json.dumps(body).encode(), api, max_depth=5)
    except InvalidRequest:
        return
    assert asked.model


@given(st.binary(max_size=200), APIS)
def test_no_bytes_are_worse_than_refused(data: bytes, api: Any) -> None:
    with pytest.raises(InvalidRequest):
        parse(data, api, max_depth=5)
