"""Prompts, answers and keys are in no log, metric or process title, unless a switch says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil

from tests.contract.safety.wire import ANSWER, RawServer, answer, request, say
from tests.contract.safety.wrong import HEAD, last_words
from tests.contract.stack import HTTP, Gateway, RedisServer, chat, children_of, wait_for

_MARKS = (
    *("prompt", "system", "tool", "schema", "reasoning", "answer", "echoed", "user", "name"),
    *("stop", "path", "query", "header", "wrong", "key", "input"),
)
MARK = {name: f"zq{name}zq" for name in _MARKS}


def conversation() -> dict[str, Any]:
    """A request with a mark in each place that is somebody's."""
    function = {"name": "f", "description": MARK["tool"], "parameters": {"title": MARK["schema"]}}
    return chat(
        messages=[
            {"role": "system", "content": MARK["system"]},
            {"role": "user", "content": MARK["prompt"], "name": MARK["name"]},
        ],
        tools=[{"type": "function", "function": function}],
        user=MARK["user"],
        stop=[MARK["stop"]],
    )


def live_through_everything(gateway: Gateway, raw: RawServer) -> None:
    """Answers, refusals and faults, each of which could quote somebody."""

    def post(body: Any, path: str = "/v1/chat/completions", **headers: str) -> None:
        HTTP.post(
            gateway.url + path,
            json=body,
            headers={**gateway.headers, "x-note": MARK["header"], **headers},
            timeout=30,
        )

    message = {"role": "assistant", "content": MARK["answer"], "reasoning": MARK["reasoning"]}
    whole = {**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    delta = {"content": MARK["answer"], "reasoning": MARK["reasoning"]}
    event = json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode()
    fault = json.dumps({"error": {"message": f"can't: {MARK['echoed']}", "code": 400}}).encode()
    replies = (
        answer(json.dumps(whole).encode()),
        *(answer(fault, status=f"{status} {MARK['echoed']}") for status in (400, 404, 500, 503)),
        last_words(answer(MARK["echoed"].encode())),
        last_words(answer(json.dumps({"choices": [MARK["echoed"]]}).encode())),
        last_words(HEAD + b"data: " + event + b"\n\n"),
        last_words(HEAD + b"data: " + event + b"\n\ndata: " + fault + b"\n\n"),
        last_words(HEAD + b"data: " + MARK["echoed"].encode() + b"\n\n"),
        last_words(HEAD + b'data: {"choices": [{"delta": {"content": 5}}]}\n\n'),
        last_words(MARK["echoed"].encode()),
        last_words(b""),
    )
    for reply in replies:
        raw.reply = reply
        for streamed in (False, True):
            post({**conversation(), "stream": streamed})
    raw.reset()
    wrong = MARK["wrong"]
    for field in ("model", "temperature", "messages", "stop", "tools", "stream", "logit_bias"):
        post({**conversation(), field: wrong})
    post({**conversation(), "response_format": {"type": wrong}})
    post({"model": "r1-nano", "input": MARK["input"], "previous_response_id": wrong}, "/responses")
    post({"model": "r1-nano", "max_tokens": wrong, "messages": []}, "/v1/messages")
    post(conversation(), authorization=f"Bearer {MARK['key']}")
    post(conversation(), **{"x-request-timeout": wrong, "idempotency-key": wrong})
    HTTP.get(f"{gateway.url}/{MARK['path']}?{MARK['query']}", headers=gateway.headers)
    HTTP.get(f"{gateway.url}/v1/models/{MARK['path']}", headers=gateway.headers)
    for body in ({"name": MARK["name"], "rpm": wrong}, [wrong]):
        HTTP.post(
            gateway.admin_url + "/admin/keys",
            json=body,
            headers={"authorization": f"Bearer {gateway.admin_key}"},
        )
    say(gateway, request(gateway, "content-length: 999", body=MARK["prompt"].encode())[:-5], 0.2)
    say(gateway, request(gateway, body=b'{"model": "' + MARK["prompt"].encode()))


def told(gateway: Gateway) -> str:
    """All that the gateway tells to those who run it."""
    pids = (gateway.pid, *children_of(gateway.pid))
    titles = [" ".join(psutil.Process(pid).cmdline()) for pid in pids]
    return gateway.text() + HTTP.get(gateway.admin_url + "/metrics").text + " ".join(titles)


def test_nothing_that_was_said_is_told(door: Gateway, raw: RawServer) -> None:
    """At the log's most talkative level."""
    live_through_everything(door, raw)
    wait_for(lambda: len(door.events("request")) >= 35, "the log")
    text = told(door)
    for secret in (*MARK.values(), door.key, door.admin_key, door.pepper_file.read_text()):
        assert secret not in text
    # Their lengths and endings are.
    assert {"upstream_invalid", "upstream_error", "done"} <= {
        event["ending"] for event in door.events("request")
    }
    assert not door.events("prompts_are_logged")
    assert not door.events("prompt")
    assert not door.events("internal_error")


def test_a_switch_has_requests_logged_but_no_answer_and_no_key(
    tmp_path: Path, redis: RedisServer, raw: RawServer
) -> None:
    switch = {"R1_GATEWAY__TELEMETRY__LOG_PROMPTS": "true"}
    gateway = Gateway(tmp_path / "gw", redis, [{"url": raw.url}], env=switch)
    try:
        live_through_everything(gateway, raw)
        wait_for(lambda: len(gateway.events("request")) >= 35, "the log")
        text = told(gateway)
        (warning,) = gateway.events("prompts_are_logged")
        assert warning["level"] == "warning"
        bodies = {event["request_id"]: event["body"] for event in gateway.events("prompt")}
        assert conversation()["messages"] in [
            json.loads(each)["messages"] for each in bodies.values()
        ]
        assert bodies.keys() <= {event["request_id"] for event in gateway.events("request")}
        for name in ("reasoning", "answer", "echoed", "key", "header", "query"):
            assert MARK[name] not in text
        for secret in (gateway.key, gateway.admin_key, gateway.pepper_file.read_text()):
            assert secret not in text
    finally:
        gateway.end()
