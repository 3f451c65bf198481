"""Each kind of user through the gateway, with both clients."""

from __future__ import annotations

import asyncio
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtests.bench.figures import KEPT
from loadtests.client.ask import Ask, Target
from loadtests.client.call import BROKEN, CUT, DONE, ERROR, LATE, LEFT, LOST, REFUSED, Call
from loadtests.client.sockets import SocketClient
from loadtests.client.streams import StreamClient
from loadtests.load.lengths import Lengths
from loadtests.users.draw import Draw, streamed, user
from loadtests.users.kinds import KINDS
from tests.contract.keyed import make
from tests.contract.stack import Gateway, RedisServer, Simulator, free_port, wait_for

Asker = Callable[[str, Ask], Call]
LENGTHS = Lengths(((40, 12), (90, 30)), 60, 24)
ARGUMENTS = '{"a": 3, "b": 4}'


def target(gateway: Gateway, **keys: str) -> Target:
    return Target(f"{gateway.url}/v1", "r1-nano", gateway.key, keys)


def asker(kind: str, to: Target, timeout_s: float = 30.0) -> Asker:
    """One of the two clients, with fresh connections each time."""

    def by_sockets(name: str, ask: Ask) -> Call:
        client = SocketClient(to, timeout_s)
        try:
            return client.ask(name, ask)
        finally:
            client.close()

    def by_streams(name: str, ask: Ask) -> Call:
        async def once() -> Call:
            client = StreamClient(to, timeout_s)
            try:
                return await client.ask(name, ask)
            finally:
                client.close()

        return asyncio.run(once())

    return by_sockets if kind == "sockets" else by_streams


@pytest.fixture(params=["sockets", "streams"])
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def converse(
    name: str, ask: Asker, model: Simulator, *, honest: bool = True, read: float = 4000.0
) -> list[Call]:
    """One conversation; the model server answers its sums rightly, or lies."""
    calls = []
    talk = KINDS[name].talk(Draw(random.Random(5), LENGTHS, words_per_token=0.2, read=read))
    question = next(talk, None)
    while question is not None:
        found = re.findall(r"What is (\d+) \+ (\d+)\?", str(question.body["messages"][-1]))
        if found:
            one, other = map(int, found[-1])
            model.control(content=f"\\boxed{{{one + other + (not honest)}}}", reasoning="so")
        call = ask(name, question)
        calls.append(call)
        try:
            question = talk.send(call)
        except StopIteration:
            break
    return calls


@pytest.mark.parametrize("name", ["chat", "classification", "hot"])
def test_right_and_wrong_answers_are_told_apart(
    name: str, client: str, gateway: Gateway, vllm: Simulator
) -> None:
    ask = asker(client, target(gateway))
    honest = converse(name, ask, vllm)
    assert [(c.ending, c.right) for c in honest] == [(DONE, True)] * len(honest)
    assert all(c.said.prompt_tokens and c.said.completion_tokens for c in honest)
    lies = converse(name, ask, vllm, honest=False)
    assert {c.right for c in lies} == {False}
    assert {c.fault() for c in lies} == {"wrong answer"}


def test_a_chat_sends_all_that_was_said(client: str, gateway: Gateway, vllm: Simulator) -> None:
    calls = converse("chat", asker(client, target(gateway)), vllm)
    asked = [each["messages"] for each in vllm.seen()["seen"]]
    assert len(calls) >= 2
    assert [len(each) for each in asked] == [2 * turn + 1 for turn in range(len(calls))]
    assert asked[1][1]["content"] == calls[0].said.content
    assert calls[-1].said.prompt_tokens > calls[0].said.prompt_tokens


def test_a_long_stream_is_measured(client: str, gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(step_s=0.002, reasoning=None, content=None)
    (call,) = converse("reasoning", asker(client, target(gateway)), vllm)
    assert call.ending == DONE
    assert LENGTHS.longest_answer // 2 <= call.said.completion_tokens <= LENGTHS.longest_answer
    assert call.gaps
    assert 0 < call.ttft < call.e2el
    assert call.tpot == pytest.approx((call.e2el - call.ttft) / (call.said.completion_tokens - 1))
    assert sum(call.gaps) <= call.e2el - call.ttft + 1e-9


def test_a_batch_is_scored(client: str, gateway: Gateway, vllm: Simulator) -> None:
    calls = converse("batch", asker(client, target(gateway)), vllm)
    assert len(calls) == 8
    assert all((c.ending, c.right, c.said.completion_tokens) == (DONE, True, 1) for c in calls)


def test_a_tool_is_called_and_told_its_result(
    client: str, gateway: Gateway, vllm: Simulator
) -> None:
    ask = asker(client, target(gateway))
    vllm.control(tool="add", content=ARGUMENTS)
    talk = KINDS["tools"].talk(Draw(random.Random(1), LENGTHS))
    first = ask("tools", next(talk))
    assert (first.ending, first.right, first.said.tools) == (DONE, True, {0: ARGUMENTS})
    second = ask("tools", talk.send(first))
    assert second.ending == DONE
    assert [each["role"] for each in vllm.last()["messages"]] == ["user", "assistant", "tool"]
    vllm.control(tool="add", content='{"a": "three"}')
    talk = KINDS["tools"].talk(Draw(random.Random(1), LENGTHS))
    assert ask("tools", next(talk)).right is False


def test_an_abusive_key_is_refused_as_expected(
    client: str, gateway: Gateway, vllm: Simulator
) -> None:
    key = make(gateway, f"abuser-{client}", rpm=3).key
    calls = converse("abusive", asker(client, target(gateway, abusive=key)), vllm)
    assert [c.status for c in calls] == [200] * 3 + [429] * 17
    refused = calls[3:]
    assert not any(c.failed for c in calls)
    assert all(c.expected and c.retry_after and c.message for c in refused)
    # Of anybody else a 429 is a failure.
    other = asker(client, Target(f"{gateway.url}/v1", "r1-nano", key))(
        "chat", Ask({"messages": []})
    )
    assert other.ending.startswith("http 4")
    assert other.failed


def test_a_slow_reader_takes_its_time(client: str, gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(reasoning=None, content=None)
    (call,) = converse("slow", asker(client, target(gateway)), vllm, read=8000.0)
    assert call.ending == DONE
    # An event of a stream has more than 150 bytes; the last piece is not waited for.
    assert call.e2el >= (len(call.gaps) * 150 - 1024) / 8000.0


def test_who_hangs_up_ends_the_generation(client: str, gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(step_s=0.02, reasoning=None, content=None)
    (call,) = converse("disconnector", asker(client, target(gateway)), vllm)
    assert (call.ending, call.expected, call.failed) == (LEFT, True, False)
    wait_for(lambda: vllm.seen()["aborted"] == 1, "the end of the generation")


@pytest.fixture(scope="module")
def direct(folder: Path) -> Iterator[Simulator]:
    server = Simulator(folder)
    yield server
    server.end()


LONG = Ask(streamed([user("What is 7+5?")], max_tokens=40, ignore_eos=True))
WHOLE = Ask({"messages": [user("What is 7+5?")]})


@pytest.mark.parametrize(
    ("fault", "ask", "ending"),
    [
        ("cut", LONG, CUT),
        ("no-done", LONG, CUT),
        ("error", LONG, ERROR),
        ("nonsense", LONG, BROKEN),
        ("bytewise", LONG, DONE),
        ("stall", LONG, LATE),
        ("hang", WHOLE, LATE),
        ("garbage", WHOLE, BROKEN),
        ("short", WHOLE, CUT),
        ("die", WHOLE, LOST),
    ],
)
def test_each_ending_has_its_name(
    fault: str, ask: Ask, ending: str, client: str, direct: Simulator
) -> None:
    direct.reset()
    direct.control(fault=fault)
    to = Target(f"{direct.url}/v1", "r1-nano")
    call = asker(client, to, 1.0 if ending == LATE else 30.0)("chat", ask)
    assert call.ending == ending, call.message
    assert call.failed is (ending != DONE)
    assert call.ended >= call.began


def test_a_reset_in_the_middle_is_no_end(client: str, direct: Simulator) -> None:
    direct.reset()
    direct.control(fault="reset")
    call = asker(client, Target(f"{direct.url}/v1", "r1-nano"))("chat", LONG)
    assert call.ending in (CUT, LOST)
    assert call.failed


def test_the_gateway_ends_a_cut_stream_honestly(
    client: str, gateway: Gateway, vllm: Simulator
) -> None:
    vllm.control(fault="cut", reasoning=None, content=None)
    call = asker(client, target(gateway))("chat", LONG)
    assert call.ending == ERROR
    assert call.failed


def test_nobody_is_there(client: str) -> None:
    call = asker(client, Target(f"http://127.0.0.1:{free_port()}/v1", "m"))("chat", WHOLE)
    assert (call.ending, call.failed) == (REFUSED, True)


def test_a_kept_connection_that_was_closed_is_made_anew(tmp_path: Path) -> None:
    server = Simulator(tmp_path)
    to = Target(f"{server.url}/v1", "r1-nano")
    blocking = SocketClient(to, 20.0)

    async def both() -> list[Call]:
        streaming = StreamClient(to, 20.0)
        calls = [
            await streaming.ask("chat", LONG),
            await asyncio.to_thread(blocking.ask, "chat", LONG),
        ]
        server.end(signal.SIGKILL)
        again = Simulator(tmp_path, port=server.port)
        calls += [
            await streaming.ask("chat", LONG),
            await asyncio.to_thread(blocking.ask, "chat", LONG),
        ]
        streaming.close()
        again.end()
        return calls

    calls = asyncio.run(both())
    blocking.close()
    assert [each.ending for each in calls] == [DONE] * 4


def test_a_kept_answer_is_seen_as_one(
    tmp_path: Path, redis: RedisServer, direct: Simulator, client: str
) -> None:
    direct.reset()
    gateway = Gateway(
        tmp_path, redis, [{"url": direct.url}], model={"cache": {"mode": "deterministic"}}
    )
    try:
        ask = asker(client, target(gateway))
        caches = [converse("classification", ask, direct)[0].cache for _ in range(2)]
        assert caches[0] == "miss"
        assert caches[1] in KEPT
    finally:
        gateway.end()
