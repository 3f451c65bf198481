"""Reading a request's body: parsed once, checked, and made ready for a vLLM upstream. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

from gateway.errors import InvalidRequest

Api = Literal["chat", "completions"]

# Fields of vLLM that callers may not set: each would reach past their own request.
STRIPPED = frozenset(
    {
        "priority",  # jumps the engine's queue
        "request_id",  # can collide with another request's id inside the engine
        "session_id",  # routes to, and reveals, another caller's session
        "cache_salt",  # chooses whose prefix cache is shared
        "kv_transfer_params",  # moves KV blocks between engines
        "ec_transfer_params",
        "vllm_xargs",  # arguments for engine plug-ins
        "logits_processors",  # names code to load
        "prompt_embeds",  # serialised tensors
        "mm_processor_kwargs",
        "media_io_kwargs",
        "chat_template",  # a program that runs in the server
        "routed_experts_prompt_start",
        "return_token_ids",  # set by the gateway, which counts with it
        "include_reasoning",  # done by the gateway, or reasoning tokens could not be counted
    }
)


@dataclass(slots=True)
class Asked:
    """What a caller asks for. `body` is as the caller sent it."""

    api: Api
    raw: bytes
    body: dict[str, Any]
    model: str
    stream: bool
    usage: bool
    """Send the usage event at the end of the stream."""
    reasoning: bool
    """Send the reasoning text."""
    token_ids: bool
    """Send token ids (a vLLM extension that the caller asked for)."""
    max_tokens: int | None
    """The caller's own bound on the answer, in tokens."""
    salt: str | None = None
    """vLLM's `cache_salt`: whose blocks of the prefix cache may be used."""


def set_max_tokens(body: dict[str, Any], value: int | None) -> None:
    """Replace the bound on the answer, under the name that both APIs of vLLM know."""
    body.pop("max_completion_tokens", None)
    if value is None:
        body.pop("max_tokens", None)
    else:
        body["max_tokens"] = value


def parse(raw: bytes, api: Api, *, max_depth: int) -> Asked:
    """The request in `raw`. Raises InvalidRequest, naming the field."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not valid JSON: {error.msg} at character {error.pos}."
        ) from error
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    # Brackets in texts count too, so this only spares the walk; it never refuses.
    if raw.count(b"{") + raw.count(b"[") > max_depth and _deeper_than(body, max_depth):
        raise InvalidRequest(f"The body is nested deeper than {max_depth} levels.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("'model' must be the name of a model.", param="model")
    stream = _flag(body, "stream", False)
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    if options is not None and not stream:
        raise InvalidRequest(
            "'stream_options' is only allowed when 'stream' is true.", param="stream_options"
        )
    _check_numbers(body)
    if api == "chat":
        _check_messages(body)
    elif not isinstance(body.get("prompt"), str | list) or body["prompt"] == []:
        raise InvalidRequest("'prompt' must be a text or a list.", param="prompt")
    return Asked(
        api=api,
        raw=raw,
        body=body,
        model=model,
        stream=stream,
        usage=bool(options and options.get("include_usage")),
        reasoning=_flag(body, "include_reasoning", True),
        token_ids=_flag(body, "return_token_ids", False),
        max_tokens=_max_tokens(body),
    )


def prepare(
    asked: Asked, *, model: str, temperature: float | None, top_p: float | None
) -> dict[str, Any]:
    """The body that vLLM gets: a new one, for the next attempt may be at another server."""
    body = {name: value for name, value in asked.body.items() if name not in STRIPPED}
    body["model"] = model
    if asked.salt is not None:
        body["cache_salt"] = asked.salt
    if temperature is not None and body.get("temperature") is None:
        body["temperature"] = temperature
    if top_p is not None and body.get("top_p") is None:
        body["top_p"] = top_p
    if asked.stream:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    else:
        body.pop("stream_options", None)
    if asked.api == "chat":
        body["return_token_ids"] = True
        body["messages"] = [_with_reasoning(message) for message in body["messages"]]
    else:
        # With `echo`, asking for token ids would take the prompt's text away.
        if asked.token_ids or (asked.stream and not body.get("echo")):
            body["return_token_ids"] = True
        if body.get("max_tokens", 0) is None:
            # vLLM 0.29 answers 500 to an explicit null here.
            del body["max_tokens"]
    return body


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """DeepSeek's clients send the field back under its own name."""
    if "reasoning_content" not in message:
        return message
    renamed = {name: value for name, value in message.items() if name != "reasoning_content"}
    if message["reasoning_content"] is not None and message.get("reasoning") is None:
        renamed["reasoning"] = message["reasoning_content"]
    return renamed


def _max_tokens(body: dict[str, Any]) -> int | None:
    value: int | None = body.get("max_completion_tokens")
    if value is None:
        value = body.get("max_tokens")
    return value


def _flag(body: dict[str, Any], field: str, default: bool) -> bool:
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequest(f"'{field}' must be true or false.", param=field)
    return value


def _check_messages(body: dict[str, Any]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest(
            "'messages' must be a list with at least one message.", param="messages"
        )
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest(
                f"'messages[{index}]' must be an object with a 'role'.",
                param=f"messages[{index}]",
            )
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise InvalidRequest(
                f"'messages[{index}].content' must be a text or a list of parts.",
                param=f"messages[{index}].content",
            )


_NUMBERS = (
    # field, must be whole, least, most
    ("max_tokens", True, 0, 2**31),
    ("max_completion_tokens", True, 0, 2**31),
    ("n", True, 1, 128),
    ("temperature", False, 0, 2),
    ("top_p", False, 0, 1),
)


def _check_numbers(body: dict[str, Any]) -> None:
    for field, whole, low, high in _NUMBERS:
        value = body.get(field)
        if value is None:
            continue
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            what = "a whole number" if whole else "a number"
            raise InvalidRequest(f"'{field}' must be {what}.", param=field)
        if not low <= value <= high:
            raise InvalidRequest(
                f"'{field}' must lie between {low} and {high}; it is {value}.", param=field
            )


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
