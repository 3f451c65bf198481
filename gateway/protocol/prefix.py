"""Answers that begin with what the caller wrote, and answers made to begin with `<think>`. Pure.

DeepSeek's prefix completion: the last message is the assistant's and has `prefix: true`. vLLM goes
on from it with `continue_final_message`. Two things about R1 are in the way. Its template opens no
think block then, while vLLM's parser takes everything before `</think>` for reasoning: so the
caller's `Asked.thinks` says where the answer begins. And the template cuts a think block out of an
assistant's message, so a prefix with `reasoning_content` can't stand there: it is written, with
the template's own marks, at the end of the user's message, which the template leaves as it is.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import InvalidRequest
from gateway.protocol.rules import wrong

ASSISTANT = "<｜Assistant｜>"
OPEN = "<think>\n"
CLOSE = "</think>\n\n"


def complete_prefix(body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A chat body that goes on from the last message's prefix, if it has one.

    Returns the body, and whether the answer begins inside the think block. Raises InvalidRequest.
    """
    *earlier, last = body["messages"]
    if not last.get("prefix"):
        if "prefix" not in last:
            return body, True
        rest = {name: value for name, value in last.items() if name != "prefix"}
        return {**body, "messages": [*earlier, rest]}, True
    field = f"messages[{len(earlier)}]"
    content = last.get("content") or ""
    reasoning = last.get("reasoning_content") or last.get("reasoning") or ""
    if not isinstance(content, str):
        raise wrong(f"{field}.content", "a text where 'prefix' is true")
    if last.get("tool_calls"):
        raise InvalidRequest(
            f"'{field}.tool_calls' can't be a prefix.", param=f"{field}.tool_calls"
        )
    if not content and not reasoning:
        raise wrong(f"{field}.content", "a text that is not empty where 'prefix' is true")
    if not reasoning:
        return _go_on(body, [*earlier, {"role": "assistant", "content": content}]), False
    begun = ASSISTANT + OPEN + reasoning
    if content:
        # An answer's own content begins with the line ends, and must not get them twice.
        begun += CLOSE + content.lstrip("\n")
    if not earlier or earlier[-1]["role"] != "user" or not isinstance(earlier[-1]["content"], str):
        raise InvalidRequest(
            f"'{field}.reasoning_content' can be a prefix only after a user's message in text.",
            param=f"{field}.reasoning_content",
        )
    user = {**earlier[-1], "content": earlier[-1]["content"] + begun}
    return _go_on(body, [*earlier[:-1], user]), not content


def force_think(body: dict[str, Any]) -> dict[str, Any]:
    """A chat body whose answer begins with the opened think block."""
    return _go_on(body, [*body["messages"], {"role": "assistant", "content": OPEN}])


def goes_on(body: dict[str, Any]) -> bool:
    """Whether the answer continues the last message."""
    return bool(body.get("continue_final_message"))


def _go_on(body: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **body,
        "messages": messages,
        "add_generation_prompt": False,
        "continue_final_message": True,
    }
