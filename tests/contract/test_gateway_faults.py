"""What callers get when something is wrong: with the request, the model server, the line."""

from __future__ import annotations

import functools
import json
import socket
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.contract.stack import (
    HTTP,
    Gateway,
    RedisServer,
    Simulator,
    chat,
    free_port,
    read_stream,
    stream,
    wait_for,
)

QUESTION: Any = [{"role": "user", "content": "What is 7+5?"}]

# Some start a gateway of their own, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": True}, "top_p"),
        ({"n": 0}, "n"),
    ],
)
def test_a_wrong_field_is_named(
    gateway: Gateway, vllm: Simulator, body: dict[str, Any], param: str
) -> None:
    answer = gateway.post(**body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]
    assert vllm.seen()["seen"] == []


def raw(gateway: Gateway, data: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    answer = HTTP.post(
        gateway.url + "/v1/chat/completions", content=data, headers={**gateway.headers, **headers}
    )
    return answer.status_code, answer.json()["error"]


def test_bodies_that_are_no_requests(gateway: Gateway) -> None:
    for data in (b"", b"{", b"[]", b"7", b"\xff\xfe", b'{"model":"\\ud800"}'):
        status, error = raw(gateway, data)
        assert (status, error["type"]) == (400, "invalid_request_error")
    deep = b'{"model":"r1-nano","messages":' + b"[" * 100 + b"]" * 100 + b"}"
    status, error = raw(gateway, deep)
    assert status == 400
    assert "64 levels" in error["message"]
    assert raw(gateway, b"[" * 100_000)[0] == 400
    assert raw(gateway, b" " * (4 * 1024 * 1024 + 1))[0] == 413
    assert raw(gateway, b"{}", **{"content-encoding": "gzip"})[1]["param"] == "content-encoding"


def test_a_body_without_a_length_is_bounded_too(gateway: Gateway) -> None:
    answer = HTTP.post(
        gateway.url + "/v1/chat/completions",
        content=(b" " * 65536 for _ in range(80)),
        headers=gateway.headers,
    )
    assert answer.status_code == 413


def test_unknown_routes_and_models(gateway: Gateway) -> None:
    assert gateway.post(model="gpt-4o").status_code == 404
    assert gateway.post(model="gpt-4o").json()["error"]["code"] == "model_not_found"
    answer = HTTP.get(gateway.url + "/v1/nothing", headers=gateway.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    answer = HTTP.get(gateway.url + "/v1/chat/completions", headers=gateway.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 500}, 502, "upstream_error"),
        ({"status": 401}, 502, "upstream_auth"),
        ({"status": 404}, 502, "upstream_no_model"),
        ({"status": 408}, 504, "upstream_timeout"),
        ({"status": 429, "retry_after": "7"}, 429, "upstream_busy"),
        ({"status": 503, "retry_after": "7"}, 503, "upstream_busy"),
        ({"fault": "die"}, 502, "upstream_lost"),
    ],
)
def test_a_faulty_model_server(
    gateway: Gateway,
    vllm: Simulator,
    fault: dict[str, Any],
    status: int,
    code: str,
    streaming: bool,
) -> None:
    vllm.control(**fault)
    answer = gateway.post(stream=streaming)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert "secret internals" not in answer.text
    if status in (429, 503):
        assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("fault", "code"), [("garbage", "upstream_invalid"), ("short", "upstream_lost")]
)
def test_a_broken_body(gateway: Gateway, vllm: Simulator, fault: str, code: str) -> None:
    vllm.control(fault=fault)
    answer = gateway.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, code)


def test_an_error_before_the_first_token_has_a_status(gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(fault="first-error")
    answer = gateway.post(stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("cut", "upstream_lost"),
        ("reset", "upstream_lost"),
        ("no-done", "upstream_lost"),
        ("error", "upstream_error"),
        ("nonsense", "upstream_invalid"),
        ("stall", "upstream_timeout"),
    ],
)
def test_a_broken_stream_never_looks_finished(
    gateway: Gateway, vllm: Simulator, fault: str, code: str
) -> None:
    # "stall" is told after timeouts.idle_s = 3.
    vllm.control(fault=fault, step_s=0.01)
    before = gateway.value("r1_stream_endings_total", reason=code)
    # Two choices: an answer that can't be continued.
    with stream(gateway, n=2) as response:
        assert response.status_code == 200
        events = read_stream(response)
    assert "[DONE]" not in events
    assert "secret internals" not in "".join(events)
    error = json.loads(events[-1])["error"]
    assert error["code"] == code
    assert set(error) == {"message", "type", "param", "code"}
    endings = functools.partial(gateway.value, "r1_stream_endings_total", reason=code)
    wait_for(lambda: endings() == before + 1, "the ending to be counted")
    wait_for(lambda: vllm.seen()["running"] == 0, "the engine's end")


def test_an_answer_that_lacks_its_end_only_is_whole(gateway: Gateway, vllm: Simulator) -> None:
    with stream(gateway, temperature=0, stream_options={"include_usage": True}) as response:
        proper = read_stream(response)
    vllm.control(fault="no-done")
    with stream(gateway, temperature=0, stream_options={"include_usage": True}) as response:
        events = read_stream(response)
    assert events[-1] == proper[-1] == "[DONE]"
    usage, expected = (json.loads(each[-2])["usage"] for each in (events, proper))
    assert usage["completion_tokens"] == expected["completion_tokens"]
    assert usage["prompt_tokens"] == expected["prompt_tokens"]


def test_the_openai_client_sees_a_lost_replica(gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(fault="cut", step_s=0.01)
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0)
    with pytest.raises(openai.APIError) as error:
        for _ in client.chat.completions.create(model="r1-nano", messages=QUESTION, stream=True):
            pass
    assert error.value.code == "upstream_lost"


def test_a_killed_model_server(folder: Path, redis: RedisServer) -> None:
    vllm = Simulator(folder)
    gateway = Gateway(folder / "killed", redis, [{"url": vllm.url}])
    try:
        vllm.control(fault="kill", step_s=0.01)
        with stream(gateway) as response:
            events = read_stream(response)
        assert json.loads(events[-1])["error"]["code"] == "upstream_lost"
        assert "[DONE]" not in events
        answer = gateway.post()
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            503,
            "upstream_unavailable",
        )
        assert answer.headers["retry-after"] == "1"
        wait_for(lambda: gateway.value("r1_upstream_up") == 0, "the gauge to fall")
        # A server that comes back is found again by itself.
        again = Simulator(folder, port=vllm.port)
        wait_for(lambda: gateway.value("r1_upstream_up") == 1, "the gauge to rise")
        assert gateway.post().status_code == 200
        again.end()
    finally:
        vllm.end()
        gateway.end()


def test_of_two_model_servers_the_healthy_one_is_asked(folder: Path, redis: RedisServer) -> None:
    well, ill = Simulator(folder), Simulator(folder)
    ill.control(fault="ill")
    upstreams = [{"url": well.url}, {"url": ill.url}]
    gateway = Gateway(folder / "two", redis, upstreams, pool={"slow_start_s": 0})
    try:
        wait_for(lambda: len(gateway.events("upstream")) >= 2, "both to be looked at")
        assert [gateway.post().status_code for _ in range(10)] == [200] * 10
        ill.reset()
        wait_for(lambda: gateway.value("r1_upstream_up") == 2, "both to be well")
        for number in range(40):
            other = [{"role": "user", "content": f"{number}?"}]
            assert gateway.post(messages=other).status_code == 200
        assert min(len(well.seen()["seen"]), len(ill.seen()["seen"])) > 0
    finally:
        for process in (gateway, well, ill):
            process.end()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_caller_who_leaves_stops_the_engine(
    gateway: Gateway, vllm: Simulator, streaming: bool
) -> None:
    vllm.control(step_s=0.05, first_token_s=0.0 if streaming else 30.0)
    before = gateway.value("r1_disconnects_total")
    body = json.dumps(chat(stream=streaming, messages=QUESTION)).encode()
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            + f"authorization: Bearer {gateway.key}\r\n".encode()
            + f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        if streaming:
            assert b"200 OK" in caller.recv(4096)
        wait_for(lambda: vllm.seen()["running"] == 1, "the generation")
    left = time.monotonic()
    wait_for(lambda: vllm.seen()["running"] == 0, "the engine to stop")
    assert time.monotonic() - left < 1.0
    assert vllm.seen()["aborted"] == 1
    wait_for(lambda: gateway.value("r1_disconnects_total") == before + 1, "the counter")
    assert gateway.value("r1_inflight_requests") == 0


def test_silence_on_a_stream_is_filled(gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(first_token_s=1.2)
    with stream(gateway) as response:
        lines = list(response.iter_lines())
    # One comment each 0.3 s of silence.
    assert lines.count(": keep-alive") >= 2
    assert lines[0] == ": keep-alive"
    assert lines[-2] == "data: [DONE]"


def test_a_long_wait_for_a_whole_answer_is_filled(gateway: Gateway, vllm: Simulator) -> None:
    vllm.control(first_token_s=1.5)
    answer = gateway.post()
    # One blank line each 0.6 s.
    assert answer.text.startswith("\n\n{")
    assert answer.json()["choices"][0]["message"]["content"]


def test_an_error_after_blank_lines_is_no_answer(folder: Path, redis: RedisServer) -> None:
    vllm = Simulator(folder)
    gateway = Gateway(
        folder / "late",
        redis,
        [{"url": vllm.url}],
        listen={"body_keepalive_s": 0.2},
        model={"timeouts": {"total_s": 1.0}},
    )
    try:
        vllm.control(first_token_s=30)
        client = openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0)
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(model="r1-nano", messages=QUESTION)
        # Who reads the body all the same finds the error in it.
        body = json.dumps(chat()).encode()
        with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
            caller.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
                + f"authorization: Bearer {gateway.key}\r\n".encode()
                + f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            text = b""
            while piece := caller.recv(65536):
                text += piece
        assert b"upstream_timeout" in text
        assert not text.endswith(b"0\r\n\r\n")
        wait_for(lambda: vllm.seen()["running"] == 0, "the engine to stop")
    finally:
        gateway.end()
        vllm.end()


def test_a_model_server_that_is_not_there(folder: Path, redis: RedisServer) -> None:
    upstreams: list[dict[str, Any]] = [{"url": f"http://127.0.0.1:{free_port()}"}]
    gateway = Gateway(folder / "nobody", redis, upstreams, wait=False)
    try:
        wait_for(lambda: gateway.events("worker_ready"), "the worker", 45)
        for streaming in (False, True):
            answer = gateway.post(stream=streaming)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "upstream_unavailable"
            assert answer.headers["retry-after"] == "1"
        assert gateway.value("r1_upstream_attempts_total", outcome="unavailable") == 2
    finally:
        gateway.end()
