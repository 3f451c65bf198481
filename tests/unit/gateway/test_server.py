"""The HTTP server: what it gives the application, what callers get, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.server import Server, listen

Call = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
POST = b"POST /a%20b?c=d HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"


@contextlib.asynccontextmanager
async def serving(app: Call, **options: Any) -> AsyncIterator[tuple[Server, int]]:
    """A server of `app`, and its port."""
    listener = listen("127.0.0.1", 0, send_buffer_bytes=65536)
    port = listener.getsockname()[1]
    server = Server(app, listener, max_connections=options.pop("most", 100), **options)
    running = asyncio.create_task(server.serve())
    try:
        yield server, port
    finally:
        server.stop()
        await asyncio.wait_for(running, 10)


async def said(port: int, data: bytes) -> bytes:
    """All that is answered to these bytes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def body_of(receive: Any) -> bytes:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with what came."""
    body = await body_of(receive)
    told = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {body.decode()}"
    length = (b"content-length", str(len(told)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": told.encode()})


async def stream(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers in two pieces of unknown length."""
    await body_of(receive)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"two", "more_body": False})


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def test_requests_of_one_connection_are_answered_in_their_order() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            last = POST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n").replace(
                b"abc", b"xyz"
            )
            answer = await said(port, POST * 5 + last)
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 6
        assert answer.count(b"POST /a b c=d abc") == 5
        assert answer.endswith(b"connection: close\r\n\r\nPOST /a b c=d xyz")

    run(test)


def test_a_request_leaves_no_garbage_to_be_searched_for() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            await said(port, POST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            gc.collect()
            gc.disable()
            try:
                for _ in range(100):
                    writer.write(POST)
                    await reader.readuntil(b"abc")
                assert gc.collect() < 100
            finally:
                gc.enable()
            writer.close()

    run(test)


def test_a_chunked_body_is_joined_and_an_answer_without_length_is_chunked() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            chunked = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
            assert b" abcde" in await said(port, chunked + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        async with serving(stream) as (_, port):
            answer = await said(port, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
            assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
            assert b"transfer-encoding: chunked\r\n" in answer
            # HTTP/1.0 has no chunks: the end of the connection is the end.
            answer = await said(port, b"GET / HTTP/1.0\r\n\r\n")
            assert answer.endswith(b"\r\n\r\nonetwo")
            assert b"chunked" not in answer
            assert (await said(port, b"HEAD / HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\n")

    run(test)


def test_who_waits_for_a_word_before_the_body_gets_it() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hi")
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            writer.close()

    run(test)


def test_an_offer_of_another_protocol_is_declined() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n"
            data = POST.replace(b"host: x\r\n", b"host: x\r\n" + offer)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data + POST)
            for _ in range(2):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK")
                assert await reader.readexactly(17) == b"POST /a b c=d abc"
            writer.close()

    run(test)


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n",
        b"POST / HTTP/1.1\nhost: x\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(data: bytes) -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            answer = await said(port, data)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"connection: close" in answer

    run(test)


def test_a_head_has_bounds_of_size_and_time() -> None:
    async def test() -> None:
        async with serving(echo, header_timeout_s=0.1) as (_, port):
            long = b"GET / HTTP/1.1\r\n" + b"a: %b\r\n" % (b"b" * 60) * 2000
            assert (await said(port, long)).startswith(b"HTTP/1.1 431 ")
            assert (await said(port, b"GET / HTTP/1.1\r\na: b")).startswith(b"HTTP/1.1 408 ")
            # Who says nothing at all is left without a word.
            assert await said(port, b"") == b""

    run(test)


def test_who_lingers_over_a_refusal_ends_no_other_time_limit() -> None:
    async def test() -> None:
        async with serving(echo, header_timeout_s=0.1) as (_, port):
            lingering: list[asyncio.StreamWriter] = []
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                lingering.append(writer)
                writer.write(b"GET / HTTP/1.1\r\na: b")
                assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            for writer in lingering:
                writer.close()

    run(test)


def test_an_application_hears_at_once_that_the_caller_left() -> None:
    left = asyncio.Event

    async def test() -> None:
        heard = left()

        async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await body_of(receive)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            assert await receive() == {"type": "http.disconnect"}
            # Nobody reads this.
            await send({"type": "http.response.body", "body": b"y", "more_body": False})
            heard.set()

        async with serving(app) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST)
            await reader.readuntil(b"x\r\n")
            writer.close()
            await asyncio.wait_for(heard.wait(), 10)

    run(test)


def test_an_answer_that_breaks_off_has_no_end(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

        async with serving(app) as (_, port):
            answer = await said(port, b"GET / HTTP/1.1\r\n\r\n")
        assert answer.endswith(b"1\r\nx\r\n")

        async def silent(scope: dict[str, Any], receive: Any, send: Any) -> None:
            return

        async with serving(silent) as (_, port):
            assert (await said(port, b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 500 ")

        async def broken(scope: dict[str, Any], receive: Any, send: Any) -> None:
            raise ValueError("what was asked")

        async with serving(broken) as (_, port):
            assert (await said(port, b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 500 ")
        assert [record.getMessage() for record in caplog.records] == ["application_failed"]

    run(test)


def test_a_slow_reader_holds_the_application_back() -> None:
    async def test() -> None:
        given = 0

        async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
            nonlocal given
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                given += 65536
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        async with serving(app) as (_, port):
            with socket.socket() as caller:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                caller.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(caller, ("127.0.0.1", port))
                await loop.sock_sendall(caller, b"GET / HTTP/1.1\r\n\r\n")
                before = -1
                while given > before:
                    before = given
                    await asyncio.sleep(0.3)
                assert 0 < given < 4 * 1024 * 1024
                size = 0
                while size < 1000 * 65536:
                    size += len(await loop.sock_recv(caller, 1 << 20))

    run(test)


def test_running_answers_are_finished_when_the_server_stops() -> None:
    async def test() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
            begun.set()
            await go_on.wait()
            await echo(scope, receive, send)

        async with serving(app) as (server, port):
            idle, quiet = await asyncio.open_connection("127.0.0.1", port)
            running = asyncio.create_task(said(port, POST))
            await begun.wait()
            server.stop()
            # Who asks nothing is let go, and nobody comes in any more.
            assert await asyncio.wait_for(idle.read(), 10) == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            go_on.set()
            assert (await running).endswith(b"POST /a b c=d abc")
            quiet.close()

    run(test)


def test_more_connections_than_allowed_wait_for_their_turn() -> None:
    async def test() -> None:
        async with serving(echo, most=2) as (_, port):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for reader, writer in held:
                writer.write(POST)
                await reader.readuntil(b"abc")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(1), 0.2)
            held[0][1].close()
            assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"abc"), 10)
            writer.close()
            held[1][1].close()

    run(test)


def test_connections_answer_without_delay() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            loop = asyncio.get_running_loop()
            began = loop.time()
            for _ in range(20):
                writer.write(POST)
                await reader.readuntil(b"abc")
            # Nagle's algorithm against a peer's delayed word costs 40 ms each time.
            assert loop.time() - began < 20 * 0.03
            writer.close()

    run(test)


def test_who_leaves_says_so_with_the_next_answer() -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def slow(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await body_of(receive)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"two"})

        async with serving(slow) as (server, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST)
            assert b"connection: close" not in await reader.readuntil(b"one\r\n")
            server.leave()
            go_on.set()
            await reader.readuntil(b"0\r\n\r\n")
            # Its head said nothing of an end: the next request on it is still answered.
            writer.write(POST)
            answer = await asyncio.wait_for(reader.read(), 10)
            assert b"connection: close" in answer
            assert answer.endswith(b"two\r\n0\r\n\r\n")
            writer.close()

    run(test)


def test_behind_a_closed_door_others_take_the_connections() -> None:
    async def test() -> None:
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        server, other = (
            Server(app, each, max_connections=100)
            for app, each in ((stream, listener), (echo, listener.dup()))
        )
        running = [asyncio.create_task(server.serve())]
        await asyncio.sleep(0)
        early = await asyncio.open_connection("127.0.0.1", port)
        early[1].write(POST)
        await asyncio.wait_for(early[0].readuntil(b"two\r\n0\r\n\r\n"), 10)
        server.close_door()
        running.append(asyncio.create_task(other.serve()))
        last = POST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        assert b"POST /a b c=d abc" in await said(port, last)
        # One that was taken before goes on.
        early[1].write(POST)
        await asyncio.wait_for(early[0].readuntil(b"two\r\n0\r\n\r\n"), 10)
        early[1].close()
        for each in (server, other):
            each.stop()
        await asyncio.wait_for(asyncio.gather(*running), 10)

    run(test)


def test_a_connection_that_stays_open_is_answered_while_the_server_stops() -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def slow(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await body_of(receive)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"two"})

        async def begin(port: int, data: bytes) -> tuple[asyncio.StreamReader, Any]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            return reader, writer

        end = b"two\r\n0\r\n\r\n"
        async with serving(slow) as (server, port):
            unused, streaming = await begin(port, b""), await begin(port, POST)
            await streaming[0].readuntil(b"one\r\n")
            halved = await begin(port, POST[:20])
            go_on.set()
            idle = await begin(port, POST)
            await idle[0].readuntil(end)
            server.stop(idle_s=60)
            # The head of this one had left before it could say that the connection ends.
            await streaming[0].readuntil(end)
            for (reader, writer), data in (
                (unused, POST),
                (streaming, POST),
                (halved, POST[20:]),
                (idle, POST),
            ):
                writer.write(data)
                answer = await asyncio.wait_for(reader.read(), 10)
                assert b"connection: close" in answer
                assert answer.endswith(end)
                writer.close()

    run(test)


def test_connections_that_wait_in_the_kernel_are_answered_when_the_server_stops() -> None:
    async def test() -> None:
        listener = listen("127.0.0.1", 0)
        server = Server(echo, listener, max_connections=2)
        callers = [socket.create_connection(listener.getsockname()) for _ in range(5)]
        running = asyncio.create_task(server.serve())
        server.stop(idle_s=60)
        for caller in callers:
            reader, writer = await asyncio.open_connection(sock=caller)
            writer.write(POST)
            assert (await asyncio.wait_for(reader.read(), 10)).endswith(b"POST /a b c=d abc")
            writer.close()
        await asyncio.wait_for(running, 10)

    run(test)


def test_a_connection_is_kept_for_its_own_time_and_a_head_has_another() -> None:
    async def test() -> None:
        async with serving(echo, header_timeout_s=0.1, idle_timeout_s=600) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST)
            await reader.readuntil(b" abc")
            # One that never asked anything is closed meanwhile, this one isn't.
            assert await said(port, b"") == b""
            writer.write(POST)
            await reader.readuntil(b" abc")
            writer.write(POST[:20])
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            writer.close()

    run(test)


def test_an_idle_connection_is_closed_when_its_time_is_over() -> None:
    async def test() -> None:
        async with serving(echo, header_timeout_s=0.1, idle_timeout_s=0.1) as (_, port):
            assert b" abc" in await said(port, POST)

    run(test)
