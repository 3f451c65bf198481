"""The comparing client: what it counts, what it refuses, what its table says."""

import argparse
import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from loadtests.side_by_side import compare, parse_target, requests, table
from loadtests.streams import Round, Stream, Target, measure

EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"1"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"2"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
)


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["model"] == "refused":
            return web.json_response({"error": {"message": "no"}}, status=400)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(EVENTS)
        if body["model"] == "broken":
            await response.write(b'data: {"error":{"message":"lost"}}\n\n')
        elif body["model"] != "cut":
            await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


async def once(url: str, model: str) -> Stream:
    async with ClientSession() as session:
        return await measure(session, Target("t", url, model), requests(1, 2, 0)[0])


async def test_a_stream_is_counted_and_timed(server: str) -> None:
    stream = await once(server, "good")
    assert stream.tokens == 2
    assert stream.complete
    assert 0 < stream.ttft <= stream.duration


async def test_a_stream_without_its_end_is_not_complete(server: str) -> None:
    assert not (await once(server, "cut")).complete


@pytest.mark.parametrize("model", ["refused", "broken"])
async def test_an_error_is_never_counted_as_an_answer(server: str, model: str) -> None:
    with pytest.raises(RuntimeError, match=r"t (answered 400|ended a stream)"):
        await once(server, model)


async def test_every_target_gets_every_load(server: str) -> None:
    targets = [Target("a", server, "good"), Target("b", server, "good")]
    rounds = await compare(targets, [1, 2], rounds=2, requests_a_user=2, tokens=2)
    assert sorted((r.target, r.users) for r in rounds) == sorted(
        (name, users) for name in "ab" for users in (1, 2) for _ in range(2)
    )
    assert all(len(r.streams) == 4 for r in rounds)
    await asyncio.sleep(0)


def test_the_table_gives_medians_and_ratios() -> None:
    def one(target: str, speed: int, ttft: float) -> Round:
        return Round(target, 1, 1.0, (Stream(ttft, 1.0, speed, True),))

    rounds = [one("a", 100, 0.010), one("b", 50, 0.012), one("a", 300, 0.030), one("b", 150, 0.036)]
    lines = table(rounds, "a").splitlines()
    assert lines[2] == "| 1 | a | 200 (100–300) | 1.00 | 20.0 | +0.0 |"
    assert lines[3] == "| 1 | b | 100 (50–150) | 0.50 | 24.0 | +4.0 |"


def test_a_target_is_read_with_its_key_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    target = parse_target("r1=http://h/v1,m,env:A_KEY")
    assert (target.name, target.url, target.model, target.key) == (
        "r1",
        "http://h/v1",
        "m",
        "secret",
    )
    assert "secret" not in repr(target)


@pytest.mark.parametrize("text", ["r1", "=http://h/v1,m", "r1=http://h/v1", "r1=u,m,env:UNSET_KEY"])
def test_a_wrong_target_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_target(text)
