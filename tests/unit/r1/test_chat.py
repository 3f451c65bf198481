import http.client
import io
import json
from collections.abc import Iterable
from typing import Any, cast

import pytest

from r1.api import CallFailed, error_message, events
from r1.chat import DIM, PLAIN, show


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def piece(**delta: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta}]}


ANSWER = [
    piece(role="assistant"),
    piece(reasoning_content="4+3"),
    piece(reasoning_content="=7"),
    piece(content="The sum "),
    piece(content="is 7."),
    {"choices": [], "usage": {}},
]


def test_reasoning_is_dimmed_on_a_terminal() -> None:
    out = Terminal()
    show(ANSWER, out)
    assert out.getvalue() == f"{DIM}4+3=7{PLAIN}The sum is 7.\n"


def test_a_pipe_gets_no_escapes() -> None:
    out = io.StringIO()
    show(ANSWER, out)
    assert out.getvalue() == "<think>\n4+3=7</think>\nThe sum is 7.\n"


def test_reasoning_can_be_left_out() -> None:
    out = Terminal()
    show(ANSWER, out, reasoning=False)
    assert out.getvalue() == "The sum is 7.\n"


def test_an_answer_cut_while_thinking_leaves_the_terminal_plain() -> None:
    def cut() -> Iterable[dict[str, Any]]:
        yield ANSWER[1]
        raise CallFailed("gone")

    out = Terminal()
    with pytest.raises(CallFailed):
        show(cut(), out)
    assert out.getvalue() == f"{DIM}4+3{PLAIN}\n"


def response(*lines: str) -> http.client.HTTPResponse:
    return cast(http.client.HTTPResponse, [line.encode() + b"\n" for line in lines])


def test_events_end_with_done() -> None:
    lines = response(": keep-alive", "", 'data: {"a": 1}', "", "data: [DONE]", 'data: {"b": 1}')
    assert list(events(lines)) == [{"a": 1}]


def test_a_stream_without_done_is_an_error() -> None:
    with pytest.raises(CallFailed, match="isn't whole"):
        list(events(response('data: {"a": 1}')))


def test_an_error_in_a_stream_is_an_error() -> None:
    with pytest.raises(CallFailed, match="the engine is gone"):
        list(events(response('data: {"error": {"message": "the engine is gone"}}')))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (json.dumps({"error": {"message": "no such key"}}).encode(), "status 401: no such key"),
        (b"Bad Gateway", "status 401: Bad Gateway"),
        (b"[]", "status 401: []"),
    ],
)
def test_error_bodies_become_sentences(body: bytes, text: str) -> None:
    assert error_message(body, 401) == text
