"""Servers that have chats and completions alone say what they can't do before they are asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import UpstreamUnfit
from gateway.model_settings import Advice, Defaults
from gateway.protocol.advice import advise
from gateway.protocol.request import parse
from gateway.upstream.dialects import Dialect
from gateway.upstream.dialects.llamacpp import LlamaCpp
from gateway.upstream.dialects.ollama import Ollama
from gateway.upstream.dialects.openai import OpenAi

DIALECTS: tuple[Dialect, ...] = (
    OpenAi(opens_think=False),
    LlamaCpp(opens_think=False),
    Ollama(opens_think=False),
)
USER = {"role": "user", "content": "hi"}


def body(dialect: Dialect, api: Any = "chat", advice: Advice | None = None, **more: Any) -> Any:
    start = {"model": "m", "input": "hi", "messages": [USER], "max_tokens": 5}
    asked = parse(json.dumps({**start, **more}).encode(), api, max_depth=16)
    return dialect.body(advise(asked, advice or Advice()), "m", Defaults())


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda each: each.name)
def test_unfit(dialect: Dialect) -> None:
    for api in ("responses", "messages", "count_tokens"):
        with pytest.raises(UpstreamUnfit):
            body(dialect, api)
    prefix = {"role": "assistant", "content": "The", "prefix": True}
    with pytest.raises(UpstreamUnfit):
        body(dialect, messages=[USER, prefix])
    with pytest.raises(UpstreamUnfit) as unfit:
        body(dialect, max_reasoning_tokens=5)
    assert unfit.value.param == "max_reasoning_tokens"
    body(dialect, max_reasoning_tokens=None)


def test_deepseeks_own_form_reaches_strangers() -> None:
    off = {"type": "disabled"}
    sent = body(DIALECTS[0], advice=Advice(thinking="switched"), thinking=off)
    assert sent["thinking"] == off
