import asyncio
import json
from typing import Any

import pytest

from serving.engine.warmup import (
    ASGIApp,
    WarmUpError,
    WarmUpStep,
    call,
    request_body,
    warm_up,
    warm_up_steps,
)

STEPS = [
    WarmUpStep(batch=1, tokens=4, stream=False, words=4),
    WarmUpStep(batch=3, tokens=4, stream=True, words=4),
]


class Engine:
    """An application that answers chat requests and keeps count."""

    def __init__(self, *, status: int = 200, ending: bytes = b"data: [DONE]\n\n") -> None:
        self.status = status
        self.ending = ending
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.together = 0
        self.most_together = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.bodies.append(json.loads(message["body"]))
        self.headers.append(dict(scope["headers"]))
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        await asyncio.sleep(0)
        self.together -= 1
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": self.ending})


async def run(app: ASGIApp, key: str | None = None, timeout_s: float = 5.0) -> float:
    return await warm_up(app, model="m", steps=STEPS, api_key=key, timeout_s=timeout_s)


async def test_each_step_is_sent_together_and_prompts_differ() -> None:
    engine = Engine()
    await run(engine)
    assert engine.most_together == 3
    prompts = [body["messages"][0]["content"] for body in engine.bodies]
    assert len(set(prompts)) == len(prompts) == 4
    assert [body["stream"] for body in engine.bodies] == [False, True, True, True]


async def test_the_key_is_sent_when_there_is_one() -> None:
    engine = Engine()
    await run(engine, "secret")
    assert all(each[b"authorization"] == b"Bearer secret" for each in engine.headers)
    open_engine = Engine()
    await run(open_engine)
    assert not any(b"authorization" in each for each in open_engine.headers)


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (Engine(status=500), "answered 500"),
        (Engine(ending=b""), r"without \[DONE\]"),
        (Engine(ending=b'data: {"error": {}}\n\ndata: [DONE]\n\n'), "carried an error"),
    ],
)
async def test_a_wrong_answer_keeps_the_replica_from_being_ready(
    engine: Engine, words: str
) -> None:
    with pytest.raises(WarmUpError, match=words):
        await run(engine)


async def test_an_engine_that_hangs_is_not_waited_for_for_ever() -> None:
    async def hang(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(WarmUpError, match="longer than"):
        await run(hang, timeout_s=0.01)


async def test_the_client_stays_connected_until_the_answer_is_there() -> None:
    seen = []

    async def watches_disconnect(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        gone = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        seen.append(gone.done())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})
        assert (await gone)["type"] == "http.disconnect"

    assert await call(watches_disconnect, "/", b"{}", None) == (200, b"x")
    assert seen == [False]


@pytest.mark.parametrize("sequences", [1, 2, 3, 16, 32, 1024])
def test_steps_meet_every_kind_and_stay_within_the_engine(sequences: int) -> None:
    steps = warm_up_steps(sequences)
    assert {step.stream for step in steps} == {False, True}
    assert max(step.batch for step in steps) == min(sequences, 16)
    assert all(step.batch <= sequences for step in steps)


def test_whole_answers_are_asked_for_with_log_probabilities_for_the_canary_will_be() -> None:
    alone, streamed = (json.loads(request_body("m", step, 0)) for step in STEPS)
    assert (alone["logprobs"], alone["top_logprobs"]) == (True, 1)
    assert "logprobs" not in streamed
