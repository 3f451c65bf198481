"""The connection to Redis for scripts: answers in order, and each fault as redis-py tells it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.store.line import Line
from gateway.store.resp import Unfinished, command, reply

OK = b"+OK\r\n"


def written(value: Any) -> bytes:
    """A value as Redis replies with it."""
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, str):
        return b"$%d\r\n%b\r\n" % (len(value.encode()), value.encode())
    return b"*%d\r\n%b" % (len(value), b"".join(map(written, value)))


values = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(values, max_size=4))
def test_replies_are_read_and_parts_of_them_are_not(said: list[Any]) -> None:
    data, at = b"".join(map(written, said)), 0
    for value in said:
        assert reply(data, at)[0] == value
        end = reply(data, at)[1]
        for cut in range(at, end):
            with pytest.raises(Unfinished):
                reply(data[:cut], at)
        at = end
    assert at == len(data)


def test_a_command_is_an_array_of_texts() -> None:
    assert command(["GET", "ü", 12, b"\x00"]) == (
        b"*4\r\n$3\r\nGET\r\n$2\r\n\xc3\xbc\r\n$2\r\n12\r\n$1\r\n\x00\r\n"
    )


@contextlib.asynccontextmanager
async def redis(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives `answer` to what it reads; its URL, and what it read."""
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            seen.append(data)
            given = answer(data)
            if given is None:
                break
            writer.write(given)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"redis://user:p%40ss@127.0.0.1:{port}/3", seen
    finally:
        server.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def line_to(url: str, timeout_s: float = 5.0) -> Line:
    line = Line.to(url, timeout_s=timeout_s)
    assert line is not None
    return line


def test_only_plain_urls_have_a_line() -> None:
    assert Line.to("redis://127.0.0.1:6380/0", timeout_s=1) is not None
    for other in (
        "rediss://h/0",
        "unix:///s",
        "redis+sentinel://h/x",
        "redis://h/0?a=b",
        "redis://a,b",
    ):
        assert Line.to(other, timeout_s=1) is None


def test_commands_of_one_moment_leave_together_behind_the_greeting() -> None:
    answered = itertools.count()

    def answer(data: bytes) -> bytes:
        if b"EVALSHA" in data:
            return b"".join(b":%d\r\n" % next(answered) for _ in range(data.count(b"EVALSHA")))
        return OK

    async def test() -> None:
        async with redis(answer) as (url, seen):
            line = line_to(url)
            assert await line.script("d", "lua", ["k"], [1]) == 0
            given = await asyncio.gather(*(line.script("d", "lua", ["k"], [n]) for n in range(20)))
            assert given == list(range(1, 21))
            line.close()
        assert seen[:2] == [command(["AUTH", "user", "p@ss"]), command(["SELECT", "3"])]
        assert len(seen) < 10

    run(test)


def test_a_script_that_redis_forgot_is_sent_again() -> None:
    def answer(data: bytes) -> bytes:
        if b"EVALSHA" in data:
            return b"-NOSCRIPT No matching script.\r\n"
        return b"$2\r\nhi\r\n" if b"EVAL" in data else OK

    async def test() -> None:
        async with redis(answer) as (url, _):
            line = line_to(url)
            assert await line.script("d", "lua", ["k"], []) == "hi"
            line.close()

    run(test)


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        (b"-READONLY You can't write\r\n", ReadOnlyError),
        (b"-ERR no\r\n", ResponseError),
        (b"?\r\n", RedisConnectionError),
        (None, RedisConnectionError),
        (b"", RedisTimeoutError),
        (b"$5\r\nab", RedisTimeoutError),
    ],
)
def test_faults_have_redis_names_and_the_next_call_connects_anew(
    told: bytes | None, fault: type[Exception]
) -> None:
    broken = True

    def answer(data: bytes) -> bytes | None:
        if b"EVALSHA" not in data:
            return OK
        return told if broken else OK

    async def test() -> None:
        nonlocal broken
        async with redis(answer) as (url, _):
            line = line_to(url, timeout_s=0.2)
            with pytest.raises(fault):
                await line.script("d", "lua", ["k"], [])
            broken = False
            assert await line.script("d", "lua", ["k"], []) == "OK"
            line.close()

    run(test)


def test_nobody_there_and_a_caller_who_leaves() -> None:
    async def test() -> None:
        line = line_to("redis://127.0.0.1:9/0")
        with pytest.raises(RedisConnectionError):
            await line.script("d", "lua", [], [])
        async with redis(lambda data: b":1\r\n" * data.count(b"EVALSHA") or OK) as (url, _):
            line = line_to(url)
            await line.script("d", "lua", [], [])
            left = asyncio.create_task(line.script("d", "lua", [], []))
            await asyncio.sleep(0)
            left.cancel()
            assert await line.script("d", "lua", [], []) == 1
            line.close()

    run(test)


async def test_who_waits_for_the_connection_hears_that_somebody_hung_up() -> None:
    async with redis(lambda data: None if b"AUTH" in data else OK) as (url, _):
        line = Line.to(url, timeout_s=5)
        assert line is not None
        waiting = [asyncio.create_task(line.script("d", "lua", (), ())) for _ in range(2)]
        left = asyncio.create_task(line.script("d", "lua", (), ()))
        await asyncio.sleep(0)
        left.cancel()
        line.close()
        for each in waiting:
            with pytest.raises(RedisConnectionError):
                await each
        with pytest.raises(asyncio.CancelledError):
            await left
