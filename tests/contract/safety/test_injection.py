"""What callers and model servers write stays text: in headers, in logs, in metrics."""

from __future__ import annotations

import json

import pytest

from tests.contract.safety.wire import RawServer, answer, request, say, statuses
from tests.contract.stack import HTTP, Gateway, chat, wait_for

ESCAPE = '\x1b[2J\x9b31m\r\n{"event": "forged", "tenant": "root"}\r\nset-cookie: forged=1\x00'
FIELDS = {
    "request_id", "api", "model", "status", "ending", "seconds", "stream", "attempts", "cache",
    "resumes", "prompt_tokens", "completion_tokens", "reasoning_tokens", "key_id", "tenant",
    "upstream", "code", "trace_id", "fault", "time", "level", "event", "process", "first_token_s",
}  # fmt: skip


@pytest.mark.parametrize(
    "identity",
    ["a\r\nset-cookie: forged=1", "a\nb", "a b", "a\tb", "é", "x" * 129, '"', "a;b", "<a>", ""],
)
def test_a_request_id_is_harmless_or_replaced(door: Gateway, raw: RawServer, identity: str) -> None:
    """Also one whose line end makes another header of it."""
    said = say(door, request(door, f"x-request-id: {identity}"))
    assert statuses(said)[0] == 400 or b"\r\nx-request-id: req_" in said
    assert b"forged" not in said
    for asked in raw.asked:
        head = asked.partition(b"\r\n\r\n")[0]
        assert b"forged" not in head
        assert head.count(b"x-request-id: ") == 1


def test_what_a_model_server_says_ends_no_header(door: Gateway, raw: RawServer) -> None:
    for value in ("1\rset-cookie: forged=1", "1\nset-cookie: forged=1", "1, forged", "-1", "1e999"):
        raw.reply = answer(b"{}", f"retry-after: {value}", status="503 Busy")
        told = door.post()
        assert told.status_code in (502, 503)
        assert "set-cookie" not in told.headers
        if told.status_code == 503:
            assert told.headers["retry-after"].isdecimal()
    raw.reply = answer(
        json.dumps({"error": {"message": ESCAPE, "param": ESCAPE}}).encode(), status="400 No"
    )
    told = door.post()
    assert told.json()["error"]["message"] == ESCAPE
    assert "set-cookie" not in told.headers
    assert "forged" not in str(told.headers)


def test_no_field_of_a_request_writes_into_the_log(door: Gateway, raw: RawServer) -> None:
    before, asked = len(door.text()), set()
    paths = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions")
    for path in paths:
        for field in ("model", "user", "stop", "temperature", "messages", "input", "prompt"):
            answer = HTTP.post(
                door.url + path,
                json={**chat(), "prompt": "x", "input": "x", "max_tokens": 5, field: ESCAPE},
                headers={
                    **door.headers,
                    "user-agent": 'forged": "',
                    "idempotency-key": "forged",
                    "x-request-timeout": "forged",
                },
            )
            asked.add(answer.headers["x-request-id"])
    for path in ("/v1/models/%0d%0aforged", "/%1b[2Jforged", "/v1/responses/%0aforged"):
        assert HTTP.get(door.url + path, headers=door.headers).status_code == 404
    HTTP.get(door.admin_url + "/admin/keys/%0aforged", headers={"authorization": "Bearer \x1b[2J"})
    # Behind the answer; and so may the last line of the test before this one.
    wait_for(lambda: all(each in door.text() for each in asked), "all of them in the log")
    written = door.text()[before:]
    assert "forged" not in written
    told = []
    for line in written.removesuffix("\n").split("\n"):
        assert line.isprintable()
        event = json.loads(line)
        assert event["event"] == "request"
        assert set(event) <= FIELDS
        assert event["tenant"] == "acme"
        told.append(event["request_id"])
    assert sorted(each for each in told if each in asked) == sorted(asked)
    assert len(asked) == 4 * 7


def test_no_field_of_a_request_becomes_a_label(door: Gateway, raw: RawServer) -> None:
    before = set(door.samples())
    for number in range(20):
        name = f'forged{number}"}} 1\nr1_forged_total{{x="'
        door.post(model=name, user=name, metadata={name: name})
        HTTP.get(door.url + "/v1/models/" + name.replace("\n", "%0a"), headers=door.headers)
        raw.reply = answer(
            json.dumps({"error": {"message": name, "code": name, "type": name}}).encode(),
            f"x-{number}: forged",
            status=f"{400 + number} forged",
        )
        door.post()
    text = HTTP.get(door.admin_url + "/metrics").text
    assert "forged" not in text
    added = {labels for _, labels in set(door.samples()) - before}
    codes = {value for labels in added for name, value in labels if name == "code"}
    assert codes <= {"400", "404", "429", "502", "503", "504"}
