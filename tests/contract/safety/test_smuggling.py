"""What one reader takes for a body, no other may take for a request: bytes, to the model server."""

from __future__ import annotations

import json

import pytest

from tests.contract.safety.wire import RawServer, request, say, statuses
from tests.contract.stack import Gateway, chat

BODY = json.dumps(chat()).encode()
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
PROBED = 200  # of the request behind each: the connection goes on, and nothing lay between


def assert_one_request(raw: RawServer) -> None:
    """The model server got one request, in the gateway's own words and framing."""
    (given,) = raw.asked
    head, _, body = given.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in lines)
    assert first == b"POST /v1/chat/completions HTTP/1.1"
    assert set(headers) == {
        *(b"host", b"content-type", b"content-length", b"x-request-id"),
        *(b"accept-encoding", b"user-agent", b"traceparent"),
    }
    assert len(headers) == len(lines)
    assert int(headers[b"content-length"]) == len(body)
    assert headers[b"accept-encoding"] == b"identity"
    assert headers[b"user-agent"] == b"r1"
    assert b"other" not in head
    assert json.loads(body)["messages"] == chat()["messages"]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        # Two framings.
        ([f"content-length: {len(CHUNKS)}", "transfer-encoding: chunked"], CHUNKS, 400),
        (["content-length: 4", "transfer-encoding: chunked"], CHUNKS, 400),
        (["transfer-encoding: chunked", "content-length: 4"], CHUNKS, 400),
        # A coding that another reader may not know, or not see.
        (["transfer-encoding: xchunked"], CHUNKS, 400),
        (["transfer-encoding: chunked, identity"], CHUNKS, 400),
        (["transfer-encoding: gzip, chunked"], CHUNKS, 400),
        (["transfer-encoding: chunked, chunked"], CHUNKS, 400),
        (["transfer-encoding: identity", "transfer-encoding: chunked"], CHUNKS, 400),
        (["transfer-encoding : chunked"], CHUNKS, 400),
        (["transfer-encoding: \x0bchunked"], CHUNKS, 400),
        (["x-a: b\r\n transfer-encoding: chunked"], CHUNKS, 400),
        (["x-a: b\rtransfer-encoding: chunked"], CHUNKS, 400),
        # Lengths that another reader may take for another number.
        ([f"content-length: {len(BODY)}", "content-length: 5"], BODY, 400),
        ([f"content-length: {len(BODY)}, 5"], BODY, 400),
        ([f"content-length: +{len(BODY)}"], BODY, 400),
        (["content-length: 0x10"], BODY, 400),
        (["content-length: -1"], BODY, 400),
        # Chunks that are none.
        (["transfer-encoding: chunked"], b"%x\n%s\n0\n\n" % (len(BODY), BODY), 400),
        (["transfer-encoding: chunked"], b"%x;a\nb\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), 400),
        (["transfer-encoding: chunked"], b"%x\r\n%sxx0\r\n\r\n" % (len(BODY), BODY), 400),
        (["transfer-encoding: chunked"], b"fffffffffffffffff\r\n" + BODY, 400),
        # Names and values that are none, and two of what there is one of.
        (["x a: b"], BODY, 400),
        (["x-a: b\x00c"], BODY, 400),
        (["host: other"], BODY, 400),
        (["authorization: Bearer other"], BODY, 400),
        # Too much of it.
        ([f"x-{number}: 1" for number in range(20_000)], BODY, 431),
        (["x-a: " + "b" * 500_000], BODY, 431),
        # Behind the last chunk, and beside a chunk's length.
        (["transfer-encoding: chunked"], b"0\r\nx-a: " + b"b" * 500_000, 431),
        (["transfer-encoding: chunked"], b"1;" + b"b" * 500_000, 431),
    ],
)
def test_what_may_be_read_in_two_ways_is_refused(
    door: Gateway, raw: RawServer, headers: list[str], body: bytes, status: int
) -> None:
    answers = statuses(say(door, request(door, *headers, body=body)))
    # Behind it the connection is at its end, or goes on where this request ended.
    assert answers in ([status], [status, PROBED])
    assert raw.asked == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["transfer-encoding: chunked"], CHUNKS),
        (["Transfer-Encoding: Chunked"], CHUNKS),
        (
            ["transfer-encoding: chunked", "trailer: authorization"],
            b"%x;name=value\r\n%s\r\n0;a\r\nauthorization: Bearer x\r\n\r\n" % (len(BODY), BODY),
        ),
        (
            [
                *("connection: upgrade, x-hop", "x-hop: 1", "upgrade: h2c", "te: trailers"),
                *("keep-alive: timeout=9", "proxy-authorization: Basic eDp5", "expect: x"),
                *("x-forwarded-for: 10.0.0.1", "cookie: a=b", "x-r1-model: other"),
                *("traceparent: 00-other", "tracestate: other"),
            ],
            BODY,
        ),
    ],
)
def test_what_is_right_reaches_the_model_server_as_one_request(
    door: Gateway, raw: RawServer, headers: list[str], body: bytes
) -> None:
    assert statuses(say(door, request(door, *headers, body=body))) == [200, PROBED]
    assert_one_request(raw)


def test_a_request_inside_a_body_stays_there(door: Gateway, raw: RawServer) -> None:
    hidden = request(door, user="hidden")
    assert statuses(say(door, request(door, body=hidden))) == [400, PROBED]
    inside = [{"role": "user", "content": hidden.decode()}]
    assert statuses(say(door, request(door, messages=inside))) == [200, PROBED]
    assert len(raw.asked) == 1
    assert b"\nPOST" not in raw.asked[0]


def test_pipelined_requests_are_answered_one_by_one(door: Gateway, raw: RawServer) -> None:
    data = request(door, user="first") + request(door, user="second")
    assert statuses(say(door, data)) == [200, 200, PROBED]
    assert [json.loads(each.partition(b"\r\n\r\n")[2])["user"] for each in raw.asked] == [
        "first",
        "second",
    ]
    raw.reset()
    # An answer that has not begun may be lost to what follows; it is never given twice.
    answers = statuses(say(door, request(door) + b"GARBAGE\r\n\r\n"))
    assert answers in ([200, 400], [400])


def test_an_answer_too_many_is_nobodys(door: Gateway, raw: RawServer) -> None:
    """Bytes behind an answer of the model server are not the answer to the next call."""
    proper = raw.reply
    assert isinstance(proper, bytes)
    raw.reply = proper + b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n" + b'{"choices": "!!"}'
    for _ in range(3):
        told = door.post().json()
        assert "choices" in told, told
        assert told["choices"][0]["message"]["content"] == "12"
