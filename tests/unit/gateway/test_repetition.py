"""How answers that repeat themselves end, server by server, and the engine's own word for it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.model_settings import Repetition
from gateway.protocol.answer import translate_body
from gateway.protocol.heard import Heard
from gateway.protocol.open_response import OpenResponse
from gateway.protocol.repetition import Loop
from gateway.upstream.dialects import Dialect
from gateway.upstream.dialects.ollama import Ollama
from gateway.upstream.dialects.openai import OpenAi
from gateway.upstream.dialects.vllm import Vllm
from tests.unit.gateway.dialects.conftest import asked

LOOP = Loop(longest=8, repeats=3, least=16)
HEAD = {"id": "a", "object": "o", "created": 1, "model": "there"}


def dumps(value: Any) -> bytes:
    return orjson.dumps(value)


def chunks(data: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(each[6:]) for each in data.split(b"\n\n") if each]


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_vllms_own_word_becomes_stop(api: Any) -> None:
    request = asked(api, stream=True)
    said = {"delta": {"content": "a"}} if api == "chat" else {"text": "a"}
    choice = {"index": 0, **said, "finish_reason": "repetition"}
    choice["stop_reason"] = "repetition_detected"
    event = {**HEAD, "choices": [choice]}
    (chunk,) = chunks(Vllm().stream(request, "r1", None).event(dumps(event)).data)
    (told,) = chunk["choices"]
    assert (told["finish_reason"], told["stop_reason"]) == ("stop", "repetition")
    whole = {**event, "choices": [{**choice, "message": {"content": "a"}}]}
    (told,) = orjson.loads(translate_body(dumps(whole), request, "r1", None)[0])["choices"]
    assert (told["finish_reason"], told["stop_reason"]) == ("stop", "repetition")


@pytest.mark.parametrize("dialect", [OpenAi(opens_think=False), Ollama(opens_think=False)])
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_servers_without_token_ids(dialect: Dialect, api: Any) -> None:
    request = asked(api, stream=True, stream_options={"include_usage": True})
    request.heard = heard = Heard(keeps=False, loop=LOOP)
    stream = dialect.stream(request, "r1", None)
    for _ in range(40):
        event: dict[str, Any]
        if dialect.name == "ollama":
            event = {"message": {"content": "ha "}, "response": "ha "}
        else:
            said = {"delta": {"content": "ha "}, "text": "ha "}
            event = {**HEAD, "choices": [{"index": 0, **said, "finish_reason": None}]}
        stream.event(dumps(event))
    assert heard.loops
    assert not stream.finished
    # Its usage was not told yet, so there is none.
    (chunk,) = chunks(stream.stop("repetition"))
    (choice,) = chunk["choices"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "repetition")
    assert chunk["model"] == "r1"
    assert stream.finished


def test_half_a_mark_that_was_held_back_is_said_at_the_end() -> None:
    stream = OpenAi(opens_think=True).stream(asked(stream=True), "r1", None)
    delta = {"index": 0, "delta": {"content": "and </thi"}, "finish_reason": None}
    stream.event(dumps({**HEAD, "choices": [delta]}))
    (chunk,) = chunks(stream.stop("repetition"))
    assert chunk["choices"][0]["delta"]["reasoning_content"] == "</thi"


def test_a_loop_is_one_of_text_where_no_ids_are_told() -> None:
    heard = Heard(keeps=True, loop=LOOP)
    heard.said((), "", None)
    found = []
    for _ in range(2):
        # Four characters are a token.
        heard.said((), "ab" * 8 * 3)
        found.append(heard.loops)
    assert found == [False, True]
    assert heard.text == "ab" * 48
    deaf = Heard(keeps=False, loop=None)
    deaf.said([1] * 100, "ab")
    assert (deaf.loops, deaf.text) == (False, "")


def test_arguments_of_a_call_that_is_cut() -> None:
    response = OpenResponse()
    place = {"item_id": "i", "output_index": 0}
    added = {"type": "response.output_item.added", "output_index": 0}
    response.saw({"type": "response.created", "response": {"id": "r", "status": "in_progress"}})
    response.saw({**added, "item": {"type": "function_call", "name": "f"}})
    for _ in range(3):
        response.saw({"type": "response.function_call_arguments.delta", **place, "delta": "{["})
    data = response.end("repetition", 5).decode().split("\n\n")
    events = [orjson.loads(each.split("data: ")[1]) for each in data if each]
    assert [event["type"] for event in events] == [
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in events] == [5, 6, 7]
    assert events[0]["arguments"] == events[1]["item"]["arguments"] == "{[{[{["
    assert events[2]["response"]["output"] == [events[1]["item"]]
    assert (events[2]["response"]["usage"], events[2]["response"]["id"]) == (None, "r")


def test_a_bare_off_in_yaml() -> None:
    assert Repetition.model_validate({"action": False}).action == "off"
