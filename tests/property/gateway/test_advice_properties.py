"""Properties of the advice: nothing that was said is lost, and nothing is done twice."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.model_settings import Advice
from gateway.protocol.advice import BOXED, advise, prompt_text
from gateway.protocol.language import is_mixed
from gateway.protocol.prefix import ASSISTANT, CLOSE, OPEN
from gateway.protocol.request import Asked, parse, prepare

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\\"), min_size=1, max_size=20)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "developer", "user", "assistant"]),
            "content": WORDS | WORDS.map(lambda text: [{"type": "text", "text": text}]),
        }
    ),
    min_size=1,
    max_size=6,
)
SHARE = st.floats(0.01, 1)


def ask(messages: Any, **body: Any) -> Asked:
    raw = json.dumps({"model": "m", "messages": messages, **body}).encode()
    return parse(raw, "chat", max_depth=16)


def texts(messages: list[Any], *, all_parts: bool = False) -> list[str]:
    """The text of each message, or of its first part."""
    return [
        each["content"]
        if isinstance(each["content"], str)
        else "".join(part["text"] for part in each["content"][: None if all_parts else 1])
        for each in messages
    ]


@given(MESSAGES)
def test_folding_loses_no_text(messages: list[Any]) -> None:
    asked = advise(ask(messages), Advice(system_prompt="folded"))
    body = prepare(asked, model="m", temperature=None, top_p=None)
    assert not [each for each in body["messages"] if each["role"] == "system"]
    said = "\n".join(texts(body["messages"], all_parts=True))
    assert all(text in said for text in texts(messages))


@given(MESSAGES)
def test_off_leaves_out_the_system_prompt_and_nothing_else(messages: list[Any]) -> None:
    others = [each for each in messages if each["role"] not in ("system", "developer")]
    left = advise(ask(messages), Advice(system_prompt="off")).body["messages"]
    assert left == others or (not others and len(left) == 1)


@given(MESSAGES)
def test_the_box_is_asked_for_once(messages: list[Any]) -> None:
    always = Advice(boxed="always")
    once = advise(ask(messages), always)
    users = any(each["role"] == "user" for each in messages)
    assert "\n".join(texts(once.body["messages"], all_parts=True)).count(BOXED) == users
    assert BOXED not in prompt_text(once.body)
    assert advise(once, always).body == once.body


@given(MESSAGES)
def test_no_advice_changes_nothing(messages: list[Any]) -> None:
    asked = ask(messages)
    assert advise(asked, Advice()).body == asked.body


@given(WORDS, WORDS, st.text(max_size=20))
def test_a_prefix_is_what_the_prompt_ends_with(user: str, reasoning: str, content: str) -> None:
    prefix = {"role": "assistant", "content": content, "reasoning_content": reasoning}
    messages = [{"role": "user", "content": user}, {**prefix, "prefix": True}]
    asked = advise(ask(messages), Advice())
    (message,) = asked.body["messages"]
    assert message["content"].startswith(user + ASSISTANT + OPEN + reasoning)
    assert message["content"].endswith(content.lstrip("\n") or reasoning or CLOSE)
    assert asked.thinks is not bool(content)


@given(st.dictionaries(st.sampled_from(["thinking", "reasoning_effort"]), st.none() | WORDS))
def test_an_unknown_wish_is_refused(body: dict[str, Any]) -> None:
    efforts = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    known = body.get("thinking") is None and body.get("reasoning_effort") in (None, *efforts)
    try:
        advise(ask([{"role": "user", "content": "hi"}], **body), Advice(thinking="switched"))
    except InvalidRequest:
        assert not known
    else:
        assert known


@given(st.text(), st.text(), SHARE, SHARE)
def test_mixing(prompt: str, answer: str, low: float, high: float) -> None:
    # An answer in the prompt's own words is not mixed, and a larger share allows more.
    assert not is_mixed(prompt, prompt, low)
    assert not is_mixed(prompt + answer, answer, low)
    low, high = sorted((low, high))
    assert is_mixed(prompt, answer, low) or not is_mixed(prompt, answer, high)
