"""The conversation in each API's requests, and the tools beside it: their form. Pure."""

from __future__ import annotations

import re
from typing import Any

from gateway.errors import InvalidRequest
from gateway.protocol.rules import entries, flag, one_of, record, text, wrong
from gateway.settings import Bounds

_ROLE = one_of("system", "developer", "user", "assistant", "tool", "function")
_TURN_ROLES = ("user", "assistant", "system")
_TURN_ROLE = one_of(*_TURN_ROLES)
# May be without content: an assistant that only calls tools.
_SILENT = ("assistant", "function")
_FUNCTION_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_DESCRIPTION = text(2**20)


def check_chat(body: dict[str, Any], bounds: Bounds) -> None:
    """OpenAI's `messages`. Raises InvalidRequest."""
    last = len(entries("messages", body.get("messages"), bounds.messages, "messages")) - 1
    for index, message in enumerate(body["messages"]):
        if _is_plain(message):
            continue
        field = f"messages[{index}]"
        record(field, message)
        _ROLE(f"{field}.role", message.get("role"))
        content = message.get("content")
        if content is None and message["role"] not in _SILENT:
            raise wrong(f"{field}.content", "a text or a list of parts")
        _check_content(f"{field}.content", content, bounds)
        for name in ("reasoning_content", "reasoning"):
            if not isinstance(message.get(name), str | None):
                raise wrong(f"{field}.{name}", "a text")
        if message.get("tool_calls") is not None:
            _check_calls(f"{field}.tool_calls", message["tool_calls"], bounds)
        if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
            raise wrong(f"{field}.tool_call_id", "the id of the call that this is the result of")
        if message.get("prefix") is not None:
            flag(f"{field}.prefix", message["prefix"])
            if message["prefix"] and (index != last or message["role"] != "assistant"):
                raise InvalidRequest(
                    f"'{field}.prefix' is only allowed on the last message, "
                    "and that must be the assistant's.",
                    param=f"{field}.prefix",
                )


def _is_plain(message: Any) -> bool:
    """A role and a text and no more, as nearly all messages are: nothing else needs a look."""
    return (
        isinstance(message, dict)
        and len(message) == 2
        and isinstance(message.get("content"), str)
        and message.get("role") in _TURN_ROLES
    )


def check_functions(body: dict[str, Any], bounds: Bounds) -> None:
    """OpenAI's `tools` and `tool_choice` of chat completions. Raises InvalidRequest."""
    names = set()
    if body.get("tools") is not None:
        tools = entries("tools", body["tools"], bounds.tools, "tools", empty=True)
        for index, tool in enumerate(tools):
            field = f"tools[{index}]"
            record(field, tool)
            one_of("function")(f"{field}.type", tool.get("type"))
            function = tool.get("function")
            record(f"{field}.function", function)
            names.add(_function_name(f"{field}.function.name", function.get("name")))
            if function.get("description") is not None:
                _DESCRIPTION(f"{field}.function.description", function["description"])
            if function.get("parameters") is not None:
                record(f"{field}.function.parameters", function["parameters"])
    choice = body.get("tool_choice")
    if choice is None or choice == "none":
        return
    if not names:
        raise InvalidRequest(
            "'tool_choice' is only allowed together with 'tools'.", param="tool_choice"
        )
    if isinstance(choice, dict):
        function = choice.get("function")
        if not isinstance(function, dict):
            raise wrong("tool_choice.function", "an object")
        if _function_name("tool_choice.function.name", function.get("name")) not in names:
            raise wrong("tool_choice.function.name", "the name of one of 'tools'")
    else:
        one_of("none", "auto", "required")("tool_choice", choice)


def check_input(body: dict[str, Any], bounds: Bounds) -> None:
    """`input` and `tools` of a response. Raises InvalidRequest."""
    given = body.get("input")
    if not isinstance(given, str):
        for index, item in enumerate(entries("input", given, bounds.messages, "messages")):
            field = f"input[{index}]"
            record(field, item)
            if "role" in item:
                _ROLE(f"{field}.role", item["role"])
            _check_content(f"{field}.content", item.get("content"), bounds)
    _check_tools(body, bounds)
    for index, tool in enumerate(body.get("tools") or ()):
        if not isinstance(tool.get("type"), str):
            raise wrong(f"tools[{index}].type", "a text")
    choice = body.get("tool_choice")
    if choice is not None and not isinstance(choice, str | dict):
        raise wrong("tool_choice", "a text or an object")


def check_turns(body: dict[str, Any], bounds: Bounds) -> None:
    """`messages` and `system` of Anthropic's API. Raises InvalidRequest."""
    turns = entries("messages", body.get("messages"), bounds.messages, "messages")
    for index, turn in enumerate(turns):
        if _is_plain(turn):
            continue
        field = f"messages[{index}]"
        record(field, turn)
        _TURN_ROLE(f"{field}.role", turn.get("role"))
        if turn.get("content") is None:
            raise wrong(f"{field}.content", "a text or a list of content blocks")
        _check_content(f"{field}.content", turn["content"], bounds)
    _check_content("system", body.get("system"), bounds)


def check_message_tools(body: dict[str, Any], bounds: Bounds) -> None:
    """`tools` of Anthropic's API. Raises InvalidRequest."""
    _check_tools(body, bounds)
    for index, tool in enumerate(body.get("tools") or ()):
        _function_name(f"tools[{index}].name", tool.get("name"))
        record(f"tools[{index}].input_schema", tool.get("input_schema"))


def _check_tools(body: dict[str, Any], bounds: Bounds) -> None:
    if body.get("tools") is not None:
        tools = entries("tools", body["tools"], bounds.tools, "tools", empty=True)
        for index, tool in enumerate(tools):
            record(f"tools[{index}]", tool)


def _check_content(field: str, content: Any, bounds: Bounds) -> None:
    """A text, or a list of parts that each have a type; text parts have a text."""
    if content is None or isinstance(content, str):
        return
    for index, part in enumerate(entries(field, content, bounds.parts, "parts", empty=True)):
        record(f"{field}[{index}]", part)
        kind = part.get("type")
        if not isinstance(kind, str):
            raise wrong(f"{field}[{index}].type", "a text")
        if kind in TEXT_PARTS and not isinstance(part.get("text"), str):
            raise wrong(f"{field}[{index}].text", "a text")


TEXT_PARTS = ("text", "input_text", "output_text")
"""Types of content parts that hold text, in all APIs."""


def _check_calls(field: str, calls: Any, bounds: Bounds) -> None:
    for index, call in enumerate(entries(field, calls, bounds.parts, "parts", empty=True)):
        record(f"{field}[{index}]", call)
        function = call.get("function")
        record(f"{field}[{index}].function", function)
        _function_name(f"{field}[{index}].function.name", function.get("name"))
        if not isinstance(function.get("arguments"), str | dict):
            raise wrong(f"{field}[{index}].function.arguments", "JSON as a text")


def _function_name(field: str, name: Any) -> str:
    if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        raise wrong(field, "a name of 1 to 128 letters, digits, '_', '-', '.' or ':'")
    return name
