"""Whatever callers put into their fields, an Ollama's request is made or refused, never a crash."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest, UpstreamUnfit
from gateway.model_settings import Defaults
from gateway.protocol.request import parse
from gateway.upstream.dialects.ollama import Ollama

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "url", "function", "name", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
NAMES = """
    n stop seed top_k min_p tools tool_choice response_format thinking chat_template_kwargs logprobs
    logit_bias reasoning_effort max_tokens temperature repetition_penalty echo suffix
"""
FIELDS = st.dictionaries(st.sampled_from(NAMES.split()), JSON, max_size=4)
PARTS = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"])}, optional={"text": JSON})
    | st.fixed_dictionaries({"type": st.just("image_url"), "image_url": JSON})
    | JSON,
    max_size=2,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool"])},
        optional={"content": PARTS | st.text(max_size=4), "tool_calls": JSON, "reasoning": JSON},
    ),
    min_size=1,
    max_size=2,
)


def ask(api: Any, body: dict[str, Any]) -> dict[str, Any] | None:
    raw = orjson.dumps({"model": "m", **body})
    try:
        asked = parse(raw, api, max_depth=64)
        return Ollama(opens_think=False).body(asked, "there", Defaults())
    except (InvalidRequest, UpstreamUnfit):
        return None


@given(FIELDS, MESSAGES)
def test_chat(fields: dict[str, Any], messages: list[Any]) -> None:
    made = ask("chat", {**fields, "messages": messages})
    if made is not None:
        assert made["model"] == "there"
        assert (made["truncate"], made["shift"]) == (False, False)
        for value in made["options"].values():
            assert isinstance(value, int | float | list)


@given(FIELDS, JSON)
def test_completions(fields: dict[str, Any], prompt: Any) -> None:
    made = ask("completions", {**fields, "prompt": prompt})
    assert made is None or (made["prompt"] == prompt and made["raw"])
