"""Reading a request's body: parsed once, checked, and made ready for a vLLM upstream. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.errors import InvalidRequest
from gateway.protocol.fields import Api as Api
from gateway.protocol.fields import check_fields
from gateway.protocol.heard import Heard
from gateway.settings import Bounds

OPENAI_CHUNKS: tuple[Api, ...] = ("chat", "completions")
"""APIs whose streams are `data:` chunks with choices, ended by `[DONE]`."""

_USUAL = Bounds()

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
        "use_beam_search",  # many sequences in one, which no limit on `n` would count
        "return_prompt_text",  # tell of the engine's inside
        "return_assistant_tokens_mask",
        "return_token_offsets",
        "enable_response_messages",
        "previous_input_messages",  # the engine's own form of a conversation
    }
)


@dataclass(slots=True)
class Asked:
    """What a caller asks for. `raw` is as the caller sent it, `body` with the model's advice."""

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
    thinks: bool = True
    """The answer begins inside the think block, where it has one."""
    heard: Heard | None = None
    """Told of what is said, while someone wants to read along."""
    sequence: int = 0
    """The number of the next event of a streamed response."""
    salt: str | None = None
    """vLLM's `cache_salt`: whose blocks of the prefix cache may be used."""


def set_max_tokens(body: dict[str, Any], value: int | None, api: Api) -> None:
    """Replace the bound on the answer, under the name that vLLM's API knows."""
    body.pop("max_completion_tokens", None)
    name = "max_output_tokens" if api == "responses" else "max_tokens"
    if value is None:
        body.pop(name, None)
    else:
        body[name] = value


def parse(raw: bytes, api: Api, *, max_depth: int, bounds: Bounds = _USUAL) -> Asked:
    """The request in `raw`. Raises InvalidRequest, naming the field."""
    body = _read(raw, max_depth)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("'model' must be the name of a model.", param="model")
    check_fields(body, api, bounds)
    options = body.get("stream_options") or {}
    reasoning = body.get("include_reasoning")
    return Asked(
        api=api,
        raw=raw,
        body=body,
        model=model,
        stream=bool(body.get("stream")) and api != "count_tokens",
        usage=bool(options.get("include_usage")) if api in OPENAI_CHUNKS else False,
        reasoning=True if reasoning is None else bool(reasoning),
        token_ids=bool(body.get("return_token_ids")),
        max_tokens=_max_tokens(body, api),
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
    if asked.api == "responses":
        # The engine's memory is one replica's: what it keeps can't be found again.
        body["store"] = False
        return body
    if asked.api not in OPENAI_CHUNKS:
        return body
    if asked.stream:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    else:
        body.pop("stream_options", None)
    if asked.api == "chat":
        body["return_token_ids"] = True
        body["messages"] = [_as_engine_knows(message) for message in body["messages"]]
    else:
        # With `echo`, asking for token ids would take the prompt's text away.
        if asked.token_ids or (asked.stream and not body.get("echo")):
            body["return_token_ids"] = True
        if body.get("max_tokens", 0) is None:
            # vLLM 0.29 answers 500 to an explicit null here.
            del body["max_tokens"]
    return body


def _as_engine_knows(message: dict[str, Any]) -> dict[str, Any]:
    """With vLLM's name for reasoning, and with the role that R1's template knows."""
    if message["role"] != "developer" and "reasoning_content" not in message:
        return message
    renamed = {name: value for name, value in message.items() if name != "reasoning_content"}
    if message["role"] == "developer":
        renamed["role"] = "system"
    if message.get("reasoning_content") is not None and message.get("reasoning") is None:
        renamed["reasoning"] = message["reasoning_content"]
    return renamed


def _read(raw: bytes, max_depth: int) -> dict[str, Any]:
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
    return body


def _max_tokens(body: dict[str, Any], api: Api) -> int | None:
    if api == "responses":
        value: int | None = body.get("max_output_tokens")
        return value
    value = body.get("max_completion_tokens") if api == "chat" else None
    return body.get("max_tokens") if value is None else value


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
