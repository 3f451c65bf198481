"""What models are advised with: thinking, prefixes, system prompts, boxes, languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from gateway.errors import InvalidRequest
from gateway.model_settings import Advice, Defaults
from gateway.protocol.advice import BOXED, advise, looks_like_mathematics
from gateway.protocol.language import is_mixed, words
from gateway.protocol.request import Api, Asked, parse, prepare
from gateway.upstream.dialects.vllm import Vllm

WEIGHTS = Path(__file__).parents[3] / "serving" / "nano" / "weights"
USER = {"role": "user", "content": "What is 7+5?"}
PREFIX = {"role": "assistant", "content": "The sum", "prefix": True}


def ask(api: Api = "chat", **body: Any) -> Asked:
    start: dict[str, Any] = {"model": "m", "messages": [USER]}
    if api == "responses":
        start = {"model": "m", "input": "What is 7+5?"}
    if api == "messages":
        start["max_tokens"] = 10
    return parse(json.dumps({**start, **body}).encode(), api, max_depth=16)


def refused(asked: Asked, advice: Advice) -> str:
    with pytest.raises(InvalidRequest) as refusal:
        advise(asked, advice)
    assert f"'{refusal.value.param}'" in refusal.value.message
    return str(refusal.value.param)


def rendered(asked: Asked) -> str:
    """The prompt that vLLM makes with R1's template: it goes on from the last message's text."""
    body = prepare(asked, model="m", temperature=None, top_p=None)
    config = json.loads((WEIGHTS / "r1-nano" / "tokenizer_config.json").read_text())
    template = Environment().from_string(config["chat_template"])
    messages = [dict(message) for message in body["messages"]]
    goes_on = body.get("continue_final_message", False)
    if goes_on:
        messages[-1]["content"] += "<cut>"
    prompt = template.render(
        messages=messages,
        add_generation_prompt=body.get("add_generation_prompt", True),
        bos_token="",
    )
    return prompt.partition("<cut>")[0] if goes_on else prompt


class TestThinking:
    OFF: tuple[tuple[Api, str, dict[str, Any]], ...] = (
        ("chat", "thinking.type", {"thinking": {"type": "disabled"}}),
        ("chat", "reasoning_effort", {"reasoning_effort": "none"}),
        (
            "chat",
            "chat_template_kwargs.thinking",
            {"chat_template_kwargs": {"thinking": False}},
        ),
        (
            "chat",
            "chat_template_kwargs.enable_thinking",
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        ("responses", "reasoning.effort", {"reasoning": {"effort": "none"}}),
        ("messages", "thinking.type", {"thinking": {"type": "disabled"}}),
    )

    @pytest.mark.parametrize(("api", "field", "body"), OFF)
    def test_off(self, api: Api, field: str, body: dict[str, Any]) -> None:
        # R1 always thinks: to ask it not to is a mistake, not a wish to be ignored.
        assert refused(ask(api, **body), Advice()) == field
        asked = advise(ask(api, **body), Advice(thinking="switched"))
        assert asked.body["chat_template_kwargs"] == {"thinking": False, "enable_thinking": False}
        assert "thinking" not in Vllm().body(asked, "m", Defaults())

    @pytest.mark.parametrize(
        "body",
        [
            {"thinking": {"type": "enabled"}},
            {"reasoning_effort": "high"},
            {"chat_template_kwargs": {"thinking": True, "other": 1}},
        ],
    )
    def test_on(self, body: dict[str, Any]) -> None:
        always = advise(ask(**body), Advice()).body
        switches = {"thinking", "enable_thinking"}
        assert not switches & always.get("chat_template_kwargs", {}).keys()
        keywords = advise(ask(**body), Advice(thinking="switched")).body["chat_template_kwargs"]
        assert {name: keywords[name] for name in switches} == dict.fromkeys(switches, True)
        assert keywords.get("other") == body.get("chat_template_kwargs", {}).get("other")

    @pytest.mark.parametrize(
        ("field", "body"),
        [
            ("thinking.type", {"thinking": {"type": "perhaps"}}),
            ("thinking.type", {"thinking": {}}),
            ("thinking", {"thinking": True}),
            ("reasoning_effort", {"reasoning_effort": "extreme"}),
            ("chat_template_kwargs.thinking", {"chat_template_kwargs": {"thinking": "no"}}),
            (
                "reasoning_effort",
                {"thinking": {"type": "disabled"}, "reasoning_effort": "high"},
            ),
        ],
    )
    def test_what_is_not_understood_is_refused(self, field: str, body: dict[str, Any]) -> None:
        assert refused(ask(**body), Advice(thinking="switched")) == field


class TestEchoedReasoning:
    HISTORY = (USER, {"role": "assistant", "content": "12", "reasoning_content": "7+5"}, USER)

    def test_accepted_or_refused(self) -> None:
        asked = ask(messages=self.HISTORY)
        body = prepare(advise(asked, Advice()), model="m", temperature=None, top_p=None)
        assert body["messages"][1]["reasoning"] == "7+5"
        refusing = Advice(echoed_reasoning="refuse")
        assert refused(asked, refusing) == "messages[1].reasoning_content"

    def test_a_prefix_may_have_some_all_the_same(self) -> None:
        prefix = {**PREFIX, "reasoning_content": "7+5"}
        advise(ask(messages=[USER, prefix]), Advice(echoed_reasoning="refuse"))


class TestPrefix:
    def test_content(self) -> None:
        asked = advise(ask(messages=[USER, PREFIX]), Advice())
        assert rendered(asked) == "<｜User｜>What is 7+5?<｜Assistant｜>The sum"
        # No think block was opened, so what vLLM's parser takes for reasoning is the answer.
        assert not asked.thinks

    def test_reasoning_and_content(self) -> None:
        prefix = {**PREFIX, "reasoning_content": "7 and 5"}
        asked = advise(ask(messages=[USER, prefix]), Advice())
        assert rendered(asked) == (
            "<｜User｜>What is 7+5?<｜Assistant｜><think>\n7 and 5</think>\n\nThe sum"
        )
        assert not asked.thinks

    def test_reasoning_alone_goes_on_inside_the_think_block(self) -> None:
        prefix = {"role": "assistant", "content": "", "reasoning_content": "7 an", "prefix": True}
        asked = advise(ask(messages=[USER, prefix]), Advice())
        assert rendered(asked) == "<｜User｜>What is 7+5?<｜Assistant｜><think>\n7 an"
        assert asked.thinks

    @pytest.mark.parametrize(
        ("field", "messages"),
        [
            ("messages[1].content", [USER, {**PREFIX, "content": ""}]),
            ("messages[1].content", [USER, {**PREFIX, "content": [{"type": "text", "text": "a"}]}]),
            (
                "messages[1].reasoning_content",
                [PREFIX | {"prefix": False}, PREFIX | {"reasoning_content": "a"}],
            ),
        ],
    )
    def test_what_can_not_be(self, field: str, messages: list[Any]) -> None:
        assert refused(ask(messages=messages), Advice()) == field

    @pytest.mark.parametrize("messages", [[PREFIX, USER], [{**USER, "prefix": True}]])
    def test_only_the_last_message_of_the_assistant(self, messages: list[Any]) -> None:
        with pytest.raises(InvalidRequest, match="prefix"):
            ask(messages=messages)

    def test_false_is_not_sent_on(self) -> None:
        asked = advise(ask(messages=[USER, {**PREFIX, "prefix": False}]), Advice())
        assert asked.body["messages"][1] == {"role": "assistant", "content": "The sum"}
        assert asked.thinks


def test_forced_think() -> None:
    asked = advise(ask(), Advice(force_think=True))
    assert rendered(asked) == "<｜User｜>What is 7+5?<｜Assistant｜><think>\n"
    assert asked.thinks
    # Nor is it forced where it is not wanted.
    off = ask(thinking={"type": "disabled"})
    assert advise(off, Advice(force_think=True, thinking="switched")).body["messages"] == [USER]
    # A prefix says itself how the answer begins.
    asked = advise(ask(messages=[USER, PREFIX]), Advice(force_think=True))
    assert rendered(asked).endswith("<｜Assistant｜>The sum")


class TestSystemPrompt:
    CHAT = (
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "No!"},
        USER,
    )

    def test_passed(self) -> None:
        asked = advise(ask(messages=self.CHAT), Advice())
        body = prepare(asked, model="m", temperature=None, top_p=None)
        # R1's template knows no developer.
        assert [each["role"] for each in body["messages"]] == ["system", "system", "user"]

    def test_off(self) -> None:
        off = Advice(system_prompt="off")
        assert advise(ask(messages=self.CHAT), off).body["messages"] == [USER]
        body = advise(ask("responses", instructions="Be brief."), off).body
        assert "instructions" not in body
        assert body["input"] == [USER]
        assert "system" not in advise(ask("messages", system="Be brief."), off).body

    def test_folded(self) -> None:
        folded = Advice(system_prompt="folded")
        (message,) = advise(ask(messages=self.CHAT), folded).body["messages"]
        assert message["content"] == "Be brief.\n\nNo!\n\nWhat is 7+5?"
        (item,) = advise(ask("responses", instructions="Be brief."), folded).body["input"]
        assert item["content"] == "Be brief.\n\nWhat is 7+5?"
        system = [{"type": "text", "text": "Be brief."}]
        turns = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
        body = advise(ask("messages", system=system, messages=turns), folded).body
        assert body["messages"][0]["content"][0] == {"type": "text", "text": "Be brief.\n\n"}
        assert "system" not in body

    def test_a_system_prompt_alone_is_the_question(self) -> None:
        asked = ask(messages=[{"role": "system", "content": "Say hi."}])
        for way in ("off", "folded"):
            (message,) = advise(asked, Advice(system_prompt=way)).body["messages"]
            assert message == {"role": "user", "content": "Say hi."}


class TestBoxed:
    def test_math(self) -> None:
        body = advise(ask(), Advice(boxed="math")).body
        assert body["messages"][0]["content"] == "What is 7+5?\n" + BOXED
        story = [{"role": "user", "content": "Tell me a story about a fox."}]
        assert advise(ask(messages=story), Advice(boxed="math")).body["messages"] == story
        always = advise(ask(messages=story), Advice(boxed="always")).body["messages"]
        assert always[0]["content"].endswith(BOXED)

    def test_it_is_not_said_twice(self) -> None:
        asked = advise(ask(), Advice(boxed="always"))
        again = [*asked.body["messages"], {"role": "assistant", "content": "12"}, USER]
        body = advise(ask(messages=again), Advice(boxed="always")).body
        assert body["messages"][-1] == USER

    def test_responses_have_their_own_parts(self) -> None:
        given = [{"role": "user", "content": [{"type": "input_text", "text": "Solve x = 2"}]}]
        body = advise(ask("responses", input=given), Advice(boxed="math")).body
        assert body["input"][0]["content"][1] == {"type": "input_text", "text": "\n" + BOXED}

    @pytest.mark.parametrize(
        "text",
        [
            "12 * 7",
            "Solve for x",
            r"\frac{1}{2}",
            "x^2 = 4",
            "$a_n$ diverges",
            "计算 3 和 4",
            "3×4=?",
        ],
    )
    def test_mathematics(self, text: str) -> None:
        assert looks_like_mathematics(text)

    @pytest.mark.parametrize(
        "text",
        [
            "Who was Ada Lovelace?",
            "Write a poem.",
            "well-known facts",
            "and/or",
            "你好",
            "I paid $5.",
        ],
    )
    def test_no_mathematics(self, text: str) -> None:
        assert not looks_like_mathematics(text)


class TestLanguages:
    ENGLISH = "Let us add the two numbers and see what the sum of them is."
    CHINESE = "让我们把这两个数字加起来看看结果是多少"

    @pytest.mark.parametrize(
        ("prompt", "answer", "mixed"),
        [
            ("What is the sum?", ENGLISH, False),
            ("What is the sum?", ENGLISH + CHINESE, True),
            ("What is the sum?", CHINESE, True),
            ("请问总和是多少", CHINESE, False),
            ("请问总和是多少", CHINESE + ENGLISH, True),
            ("请问总和是多少", CHINESE + r"\boxed{12} \frac{x}{y} ab", False),
            ("Translate 你好 please", ENGLISH + CHINESE, False),
            ("What is the sum?", ENGLISH * 9 + "你好", False),
            ("What is the sum?", ENGLISH + " привет друг мой добрый", True),
            ("7+5", CHINESE, False),
        ],
    )
    def test_mixed(self, prompt: str, answer: str, mixed: bool) -> None:
        assert is_mixed(prompt, answer, 0.1) is mixed

    def test_words(self) -> None:
        assert words("one two 三四 an") == {"latin": 2, "east_asian": 2}
        assert words("") == {}
