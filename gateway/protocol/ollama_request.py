"""Requests in the terms of Ollama's own API (`/api/chat`, `/api/generate`). Pure.

Not its OpenAI route: there an overlong prompt is cut in silence and the context of a long answer
slides. Here both are refused, so no answer is to a question that nobody asked.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import UpstreamUnfit
from gateway.protocol.request import Asked
from gateway.settings import Defaults

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repetition_penalty": "repeat_penalty",
}
_HONEST = {"truncate": False, "shift": False}


def chat_request(asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
    """The body for `/api/chat`. Raises UpstreamUnfit for what Ollama can't do."""
    body = asked.body
    _refuse_unfit(body, ("logit_bias",))
    if body.get("tool_choice") not in (None, "auto", "none"):
        raise _unfit("'tool_choice' can only be 'auto' or 'none'", "tool_choice")
    request = _request(asked, served, defaults)
    request["messages"] = [_message(each) for each in body["messages"]]
    if body.get("tools") and body.get("tool_choice") != "none":
        request["tools"] = body["tools"]
    kind = body.get("response_format") or {}
    if kind.get("type") == "json_object":
        request["format"] = "json"
    elif kind.get("type") == "json_schema":
        request["format"] = (kind.get("json_schema") or {}).get("schema") or "json"
    if not thinks(body):
        # Left out otherwise: Ollama then thinks where the model can, and refuses to be told to
        # where it can't.
        request["think"] = False
    if body.get("logprobs"):
        request["logprobs"] = True
        request["top_logprobs"] = body.get("top_logprobs") or 0
    return request


def completion_request(asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
    """The body for `/api/generate`, without a template. Raises UpstreamUnfit."""
    body = asked.body
    _refuse_unfit(body, ("logit_bias", "echo", "suffix", "logprobs"))
    if not isinstance(body["prompt"], str):
        raise _unfit("'prompt' must be one text", "prompt")
    request = _request(asked, served, defaults)
    # Raw: the prompt is the text itself, and so is the answer.
    return {**request, "prompt": body["prompt"], "raw": True, "think": False}


def thinks(body: dict[str, Any]) -> bool:
    """Whether the caller lets the model think."""
    keywords = body.get("chat_template_kwargs") or {}
    switched = (keywords.get("thinking"), keywords.get("enable_thinking"))
    thinking = body.get("thinking")
    off = isinstance(thinking, dict) and thinking.get("type") == "disabled"
    return not (off or False in switched or body.get("reasoning_effort") == "none")


def _request(asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
    body = asked.body
    given = {"temperature": defaults.temperature, "top_p": defaults.top_p}
    options: dict[str, Any] = {}
    for field, option in _OPTIONS.items():
        value = body.get(field)
        value = given.get(field) if value is None else value
        if value is not None:
            options[option] = value
    stop = body.get("stop")
    if stop:
        options["stop"] = [stop] if isinstance(stop, str) else stop
    if asked.max_tokens is not None:
        options["num_predict"] = asked.max_tokens
    return {"model": served, "stream": asked.stream, "options": options, **_HONEST}


def _refuse_unfit(body: dict[str, Any], fields: tuple[str, ...]) -> None:
    if (body.get("n") or 1) > 1:
        raise _unfit("'n' must be 1", "n")
    for field in fields:
        if body.get(field):
            raise _unfit(f"'{field}' is not supported", field)


def _unfit(what: str, param: str) -> UpstreamUnfit:
    return UpstreamUnfit(
        f"{what} at the model server (Ollama) that is left for this model.", param=param
    )


def _message(message: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"role": message["role"]}
    content = message.get("content")
    if isinstance(content, list):
        out["content"], images = _parts(content)
        if images:
            out["images"] = images
    else:
        out["content"] = content or ""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if reasoning:
        out["thinking"] = reasoning
    if message.get("tool_calls"):
        out["tool_calls"] = [_call_to(each) for each in message["tool_calls"]]
    for field in ("tool_call_id", "tool_name"):
        if message.get(field):
            out[field] = message[field]
    return out


def _parts(parts: list[Any]) -> tuple[str, list[str]]:
    """The text of a message's parts, and its images in base64."""
    texts, images = [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        url = str((part.get("image_url") or {}).get("url")) if kind == "image_url" else ""
        if kind == "text":
            texts.append(str(part.get("text") or ""))
        elif url.startswith("data:") and ";base64," in url:
            images.append(url.partition(";base64,")[2])
        else:
            raise _unfit("messages may hold only text and images in base64", "messages")
    return "\n".join(texts), images


def _call_to(call: Any) -> dict[str, Any]:
    """A tool call of an earlier answer: Ollama wants the arguments as an object."""
    try:
        function = call["function"]
        arguments = orjson.loads(function.get("arguments") or "{}")
        return {"function": {"name": function["name"], "arguments": arguments}}
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
        raise _unfit(
            "each of 'tool_calls' needs a name and arguments in JSON", "messages"
        ) from error
