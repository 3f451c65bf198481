"""Anthropic's own client through the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.stack import Gateway, Simulator

anthropic = pytest.importorskip("anthropic", reason="it comes with vLLM, which is not installed")

REASONING, CONTENT = "7+5=12", "\\boxed{12}"
ASKED: dict[str, Any] = {
    "model": "deepseek-r1",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "What is 7+5?"}],
}


@pytest.fixture
def client(gateway: Gateway, vllm: Simulator) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0) as made:
        yield made


def test_whole_and_streamed(client: Any) -> None:
    answer = client.messages.create(**ASKED)
    with client.messages.stream(**ASKED) as events:
        text = "".join(events.text_stream)
        streamed = events.get_final_message()
    assert text == CONTENT
    for message in (answer, streamed):
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert message.content[0].thinking == REASONING
        assert message.content[1].text == CONTENT
        assert (message.model, message.stop_reason) == ("r1-nano", "end_turn")
        assert message.usage.output_tokens == len(REASONING) + len(CONTENT) + 2
    counted = client.messages.count_tokens(model=ASKED["model"], messages=ASKED["messages"])
    assert counted.input_tokens == 17


def test_errors(client: Any, vllm: Simulator) -> None:
    with pytest.raises(anthropic.BadRequestError, match="role"):
        client.messages.create(**ASKED | {"messages": [{"role": "king", "content": "hi"}]})
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**ASKED | {"model": "gpt-4o"})
    vllm.control(fault="cut", after=6)
    with pytest.raises(anthropic.APIError), client.messages.stream(**ASKED) as events:
        events.until_done()
