"""A batch's lines: each mistake is told with its line and field, before anything starts."""

import json
from typing import Any

import pytest

from serving.batch.form import PREFIX, InvalidBatch, Reader, Request, answered, failed, first_model

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "1+1"}]}


def line(custom_id: Any = "a", **changes: Any) -> bytes:
    fields = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    document = {name: value for name, value in {**fields, **changes}.items() if value is not None}
    return json.dumps(document).encode() + b"\n"


def other_model(name: str) -> str | None:
    return None if name in ("m", "alias") else f"is {name}, but this batch is for m"


def problems(*lines: bytes) -> str:
    """What the reader says of the lines."""
    reader = Reader(other_model)
    list(reader.requests(lines))
    with pytest.raises(InvalidBatch) as caught:
        reader.check()
    return str(caught.value)


def test_right_lines_become_requests_and_empty_ones_are_passed_over() -> None:
    reader = Reader(other_model)
    text = {"model": "alias", "prompt": "1+1=", "max_tokens": 4}
    found = list(
        reader.requests([line("a"), b"\n", line("b", url="/v1/completions", body=text), b"  "])
    )
    reader.check()
    assert [request.custom_id for request in found] == ["a", "b"]
    assert found[1].body == text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (b"{nonsense\n", "line 2: is not valid JSON"),
        (b"[1]\n", "line 2: is not a JSON object"),
        (line("a"), "line 2: custom_id `a` is that of line 1 too"),
        (line(7), "line 2: custom_id: give a text"),
        (line("b", method="GET"), "line 2: method: must be POST, but it is 'GET'"),
        (line("b", url=None), "line 2: url: is missing"),
        (line("b", body=[]), "line 2: body: give an object"),
        (line("b", headers={}), "line 2: headers: is not a field of a batch's line"),
        (line("b", body={**CHAT, "model": "n"}), "line 2: body.model: is n, but this batch is"),
        (line("b", body={"messages": []}), "line 2: body.model: is missing"),
        (
            line("b", body={**CHAT, "temprature": 1}),
            "line 2: body.temprature: is not supported; did you mean temperature?",
        ),
        (line("b", body={**CHAT, "use_beam_search": True}), "body.use_beam_search: is not suppor"),
        (line("b", body={**CHAT, "stream": True}), "line 2: body.stream: an answer of a batch"),
        (line("b", body={"model": "m"}), "line 2: body.messages: is missing"),
        (line("b", url="/v1/completions"), "line 2: body.messages: is not supported"),
    ],
)
def test_a_wrong_line_is_told_with_its_number_and_field(wrong: bytes, said: str) -> None:
    assert said in problems(line("a"), wrong)


def test_many_problems_are_told_together_and_not_all() -> None:
    told = problems(*[b"{\n"] * 50).splitlines()
    assert len(told) == 21
    assert told[-1] == "and 30 more"


def test_other_apis_are_no_reason_not_to_start_but_an_error_of_their_line() -> None:
    reader = Reader(other_model)
    (request,) = reader.requests([line(url="/v1/embeddings", body={"model": "x", "input": "a"})])
    reader.check()
    assert request.refusal is not None
    assert request.refusal["code"] == "unsupported_url"
    assert "/v1/embeddings can't be asked" in request.refusal["message"]


def test_a_request_has_the_same_id_whatever_the_order_of_its_fields() -> None:
    body = {"model": "m", "messages": [], "n": 1}
    first = Request("a", "/v1/chat/completions", body)
    again = Request("a", "/v1/chat/completions", dict(reversed(body.items())))
    other = Request("a", "/v1/chat/completions", {**body, "n": 2})
    assert first.id == again.id != other.id


def test_output_lines_have_openais_form() -> None:
    raw = answered("batch_req_1", "a", 200, "chatcmpl-1", {"choices": [], "text": "一\ud800"})
    assert raw.startswith(PREFIX)
    assert raw.endswith(b"}\n")
    assert "一".encode() in raw
    assert json.loads(raw) == {
        "id": "batch_req_1",
        "custom_id": "a",
        "response": {
            "status_code": 200,
            "request_id": "chatcmpl-1",
            "body": {"choices": [], "text": "一\ud800"},
        },
        "error": None,
    }
    lost = failed("batch_req_2", "b", {"code": "unsupported_url", "message": "no"})
    assert lost.startswith(PREFIX)
    assert json.loads(lost)["response"] is None
    assert json.loads(lost)["error"]["code"] == "unsupported_url"


def test_the_first_model_named_is_the_batchs() -> None:
    nameless = line("b", body={"input": "a"})
    assert first_model([b"{", b"7", nameless, line("a"), line("c", body={"model": "x"})]) == "m"
    assert first_model([b"", nameless]) is None
