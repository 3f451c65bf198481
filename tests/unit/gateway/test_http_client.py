"""The HTTP client: connections used again, answers in pieces, and how each fault is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from gateway.http.client import HttpClient, Unreachable
from gateway.http.wire import Broken, NotHttp, Response
from gateway.upstream.client import make_socket

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def asked(handler: Handler, *, idle_s: float = 3.0) -> AsyncIterator[tuple[HttpClient, str]]:
    """A client, and the URL of a server that does what `handler` does on each connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    client = HttpClient(make_socket, idle_s=idle_s)
    port = server.sockets[0].getsockname()[1]
    try:
        yield client, f"http://127.0.0.1:{port}/base"
    finally:
        client.close()
        server.close()


async def ask(client: HttpClient, url: str, body: bytes | None = b"{}") -> Response:
    return await client.ask(url, "/path", {"x-id": "1"}, body, connect_s=5)


async def read(response: Response) -> bytes:
    data = b""
    while piece := await response.piece():
        data += piece
    response.close()
    return data


def answering(*answers: bytes, seen: list[bytes]) -> Handler:
    """Gives one answer after the other on each connection, and hangs up."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            size = (
                int(head.split(b"content-length: ")[1].split(b"\r")[0]) if b"-length" in head else 0
            )
            seen.append(head + await reader.readexactly(size))
            writer.write(answer)
            await writer.drain()

    return handler


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def test_a_connection_is_used_again() -> None:
    seen: list[bytes] = []

    async def test() -> None:
        async with asked(answering(OK, OK, seen=seen)) as (client, url):
            first = await ask(client, url)
            assert (first.status, first.headers["x-a"], await read(first)) == (200, "b", b"ok")
            assert await read(await ask(client, url, None)) == b"ok"
        assert seen[0].startswith(b"POST /base/path HTTP/1.1\r\nhost: 127.0.0.1:")
        assert seen[0].endswith(b"\r\nx-id: 1\r\ncontent-length: 2\r\n\r\n{}")
        assert seen[1].startswith(b"GET /base/path HTTP/1.1\r\n")

    run(test)


def test_one_that_was_idle_for_long_or_whose_answer_was_not_read_is_not() -> None:
    seen: list[bytes] = []

    async def test() -> None:
        # Each connection answers once: a second request on it would be lost.
        async with asked(answering(OK, seen=seen), idle_s=0.0) as (client, url):
            for _ in range(2):
                assert await read(await ask(client, url)) == b"ok"
        async with asked(answering(OK, OK, seen=seen)) as (client, url):
            (await ask(client, url)).close()
            assert await read(await ask(client, url)) == b"ok"
        assert len(seen) == 4

    run(test)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
            b"abc",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_bodies_end_in_many_ways(answer: bytes, body: bytes) -> None:
    async def test() -> None:
        async with asked(answering(answer, seen=[])) as (client, url):
            assert await read(await ask(client, url)) == body

    run(test)


@pytest.mark.parametrize(
    ("answer", "fault", "begun"),
    [
        (b"", Broken, False),
        (b"HTTP/1.1 200 OK\r\ncontent-", Broken, False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", Broken, True),
        (CHUNKED + b"1\r\na\r\n", Broken, True),
        (b"SSH-2.0-OpenSSH_9\r\n", NotHttp, False),
        (CHUNKED + b"zz\r\n", NotHttp, True),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20000, NotHttp, False),
    ],
)
def test_answers_that_break_off_or_are_none(
    answer: bytes, fault: type[Exception], begun: bool
) -> None:
    async def test() -> None:
        async with asked(answering(answer, seen=[])) as (client, url):
            with pytest.raises(fault) as told:
                await read(await ask(client, url))
            if isinstance(told.value, Broken):
                assert told.value.begun == begun

    run(test)


def test_nobody_there() -> None:
    async def test() -> None:
        async with asked(answering(OK, seen=[])) as (client, _):
            with pytest.raises(Unreachable) as told:
                await ask(client, "http://127.0.0.1:9")
            assert not told.value.late
            with pytest.raises(ValueError, match="line end"):
                await client.ask("http://127.0.0.1:9", "/", {"a": "b\r\nc: d"}, None, connect_s=1)

    run(test)


def test_who_gives_up_hangs_up() -> None:
    async def test() -> None:
        left = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            if not await reader.read():
                left.set()

        async with asked(handler) as (client, url):
            waiting = asyncio.create_task(ask(client, url))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.wait_for(left.wait(), 10)

    run(test)


def test_an_answer_that_is_not_read_holds_its_server_back() -> None:
    async def test() -> None:
        given = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal given
            await reader.readuntil(b"{}")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (512 * 65536))
            for _ in range(512):
                writer.write(b"x" * 65536)
                await writer.drain()
                given += 65536

        async with asked(handler) as (client, url):
            response = await ask(client, url)
            before = -1
            while given > before:
                before = given
                await asyncio.sleep(0.3)
            assert given < 512 * 65536
            assert len(await read(response)) == 512 * 65536

    run(test)


def test_a_sink_takes_what_it_can_and_the_rest_is_read() -> None:
    async def test() -> None:
        taken: list[bytes] = []
        go_on = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            writer.write(CHUNKED + b"5\r\nfirst\r\n")
            await go_on.wait()
            for piece in (b"aaa", b"aab", b"aa"):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await asyncio.sleep(0.01)
            writer.write(b"0\r\n\r\n")

        def sink(data: bytes) -> int:
            size = len(data) - len(data.lstrip(b"a"))
            taken.append(data[:size])
            return size

        async with asked(handler) as (client, url):
            response = await ask(client, url)
            rest = await response.piece()
            response.sink = sink
            go_on.set()
            while piece := await response.piece():
                rest += piece
            response.close()
        said = b"".join(taken)
        # What came together with something else may be either's, but nothing is lost.
        assert said.startswith(b"aaa")
        assert (said + rest).count(b"a") == 7
        assert rest.replace(b"a", b"") == b"firstb"

    run(test)


class Names:
    """A name server that a test can take away, on a clock that it moves."""

    def __init__(self, client: HttpClient, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.there: asyncio.Future[None] | None = None
        self.fault: OSError | None = None
        self.asked = 0
        self.later_s = 0.0
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))

        async def getaddrinfo(*_: object, **__: object) -> list[object]:
            self.asked += 1
            if self.there is not None:
                await self.there
            if self.fault is not None:
                raise self.fault
            return [address]

        real = self.loop.time
        names = SimpleNamespace(
            getaddrinfo=getaddrinfo,
            time=lambda: real() + self.later_s,
            create_task=self.loop.create_task,
            sock_connect=self.loop.sock_connect,
            create_connection=self.loop.create_connection,
        )
        monkeypatch.setattr(client, "_loop", names)


def test_a_name_that_is_gone_leads_to_where_it_led_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        seen: list[bytes] = []
        async with asked(answering(OK, seen=seen)) as (client, url):
            names = Names(client, monkeypatch, urlsplit(url).port or 0)
            named = url.replace("127.0.0.1", "engine.example")
            assert await read(await ask(client, named)) == b"ok"
            names.fault = socket.gaierror("gone")
            for later_s in (60, 120):
                names.later_s = later_s
                assert await read(await ask(client, named)) == b"ok"
            assert names.asked == 3
            with pytest.raises(Unreachable):
                await ask(client, url.replace("127.0.0.1", "other.example"))

    run(test)


def test_a_name_server_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        seen: list[bytes] = []
        async with asked(answering(OK, seen=seen)) as (client, url):
            names = Names(client, monkeypatch, urlsplit(url).port or 0)
            named = url.replace("127.0.0.1", "engine.example")
            assert await read(await ask(client, named)) == b"ok"
            names.there, names.later_s = names.loop.create_future(), 60
            answers = await asyncio.gather(*(ask(client, named) for _ in range(10)))
            assert [await read(each) for each in answers] == [b"ok"] * 10
            # One look-up for all of them.
            assert names.asked == 2
            names.there.set_result(None)

    run(test)
