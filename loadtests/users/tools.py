"""An agent: the model has to call a tool, whose result goes back to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from loadtests.client.ask import Ask
from loadtests.users.draw import Draw, Talk, streamed, user

if TYPE_CHECKING:
    from loadtests.client.call import Said

MOST_TOKENS = 512
ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two integers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}


def tools(draw: Draw) -> Talk:
    """A question that needs the tool, and what it gave; ends where no call came."""
    one, other = draw.rng.randint(0, 999), draw.rng.randint(0, 999)
    asked = user(f"What is {one} + {other}? Use the tool.")
    choice = {"type": "function", "function": {"name": "add"}}
    body = streamed([asked], tools=[ADD], tool_choice=choice, max_tokens=MOST_TOKENS)
    call = yield Ask(body, right=calls_add, pause_s=draw.pause())
    if not call.completed or not call.right:
        return
    name = "call_1"
    function = {"name": "add", "arguments": call.said.tools[0]}
    told = [
        asked,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": name, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": name, "content": str(one + other)},
    ]
    yield Ask(streamed(told, tools=[ADD], max_tokens=MOST_TOKENS))


def calls_add(said: Said) -> bool:
    """Whether `add` was called with two integers."""
    try:
        given = json.loads(said.tools[0])
        return said.tool == "add" and all(type(given[name]) is int for name in "ab")
    except (LookupError, TypeError, ValueError):
        return False
