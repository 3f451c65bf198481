"""R1's advice as switches of a model: what the engine is asked, and the language guard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator, read_stream, stream

CHINESE = "让我们把这两个数字加起来看看结果是多少"
ENGLISH = "The two numbers together are twelve, as one can see."


@pytest.fixture(scope="module")
def advised(folder: Path, redis: RedisServer, shared_vllm: Simulator) -> Iterator[Gateway]:
    """A gateway with every piece of advice on."""
    place = folder / "advised"
    place.mkdir()
    (place / "engine.key").write_text("engine-secret")
    process = Gateway(
        place,
        redis,
        [{"url": shared_vllm.url + "/r1-nano", "key_file": "engine.key"}],
        model={
            "advice": {
                "system_prompt": "folded",
                "boxed": "math",
                "force_think": True,
                "echoed_reasoning": "refuse",
                "thinking": "switched",
                "language_guard": "retry",
            }
        },
    )
    yield process
    assert process.end() == 0


def test_what_the_engine_is_asked(advised: Gateway, vllm: Simulator) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 7+5?"},
    ]
    answer = advised.post(messages=messages, reasoning_effort="low").json()
    assert answer["choices"][0]["message"]["reasoning_content"] == "7+5=12"
    asked = vllm.last()
    question, opened = asked["messages"]
    assert question["content"].startswith("Be brief.\n\nWhat is 7+5?\n")
    assert question["content"].endswith("\\boxed{}.")
    assert opened == {"role": "assistant", "content": "<think>\n"}
    assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)
    assert asked["chat_template_kwargs"] == {"thinking": True, "enable_thinking": True}


def test_echoed_reasoning_is_refused(advised: Gateway, vllm: Simulator) -> None:
    user = {"role": "user", "content": "What is 7+5?"}
    echo = {"role": "assistant", "content": "12", "reasoning_content": "7+5"}
    answer = advised.post(messages=[user, echo, user])
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages[1].reasoning_content"


class TestLanguageGuard:
    def ask(self, gateway: Gateway, **body: Any) -> Any:
        question = [{"role": "user", "content": "What is the sum of seven and five?"}]
        return gateway.post(messages=question, **body)

    def counted(self, gateway: Gateway) -> tuple[float, float]:
        return (
            gateway.value("r1_language_guard_total", action="retried"),
            gateway.value("r1_language_guard_total", action="counted"),
        )

    def test_a_mixed_answer_is_asked_for_once_more(self, advised: Gateway, vllm: Simulator) -> None:
        vllm.control(reasoning=CHINESE, content=ENGLISH)
        before = self.counted(advised)
        answer = self.ask(advised)
        # The second one is no better; it is delivered all the same.
        assert answer.json()["choices"][0]["message"]["content"] == ENGLISH
        assert answer.headers["x-r1-attempts"] == "2"
        assert len(vllm.seen()["seen"]) == 2
        assert self.counted(advised) == (before[0] + 1, before[1] + 1)

    def test_other_answers_are_not(self, advised: Gateway, vllm: Simulator) -> None:
        vllm.control(reasoning=ENGLISH, content=ENGLISH)
        before = self.counted(advised)
        assert self.ask(advised).headers["x-r1-attempts"] == "1"
        assert self.counted(advised) == before

    def test_a_stream_is_counted(self, advised: Gateway, vllm: Simulator) -> None:
        vllm.control(reasoning=CHINESE, content=ENGLISH)
        before = self.counted(advised)
        question = [{"role": "user", "content": "What is the sum of seven and five?"}]
        with stream(advised, messages=question) as response:
            assert read_stream(response)[-1] == "[DONE]"
        assert self.counted(advised) == (before[0], before[1] + 1)


def test_answers_are_as_the_openapi_document_says(gateway: Gateway, vllm: Simulator) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = HTTP.get(gateway.url + "/openapi.json").json()
    question = [{"role": "user", "content": "What is 7+5?"}]

    def check(content: dict[str, Any], value: Any) -> None:
        schema = {**content["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(value)

    for path, body in (
        ("/v1/chat/completions", {"messages": question}),
        ("/v1/completions", {"prompt": "7+5="}),
        ("/v1/responses", {"input": "What is 7+5?"}),
        ("/v1/messages", {"messages": question, "max_tokens": 50}),
    ):
        operation = document["paths"][path]["post"]
        asked = {"model": "r1-nano", **body}
        check(operation["requestBody"]["content"]["application/json"], asked)
        answer = HTTP.post(gateway.url + path, json=asked, headers=gateway.headers)
        told = operation["responses"]["200"]
        check(told["content"]["application/json"], answer.json())
        # Those of limits come with keys that have limits.
        always = {name for name in told["headers"] if not name.startswith("x-ratelimit-")}
        always.remove("x-r1-ending")
        assert always <= set(answer.headers)
        events = HTTP.post(
            gateway.url + path, json={**asked, "stream": True}, headers=gateway.headers
        )
        for line in events.text.split("\n"):
            if line.startswith("data: {"):
                check(told["content"]["text/event-stream"], json.loads(line[6:]))
        wrong = HTTP.post(gateway.url + path, json={"model": 1}, headers=gateway.headers)
        told = operation["responses"]["default"]
        check(told["content"]["application/json"], wrong.json())
        assert {"x-request-id", "x-should-retry"} <= set(wrong.headers)
