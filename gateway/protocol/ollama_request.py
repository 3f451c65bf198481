"""Requests in the terms of Ollama's own API (`/api/chat`, `/api/generate`). Pure.

Not its OpenAI route: there an overlong prompt is cut in silence and the context of a long answer
slides. Here both are refused, so no answer is to a question that nobody asked.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import UpstreamUnfit
from gateway.model_settings import Defaults
from gateway.protocol.request import Asked

# Ours, Ollama's, and whether it has to be whole: Ollama answers 500 to a wrong type.
_OPTIONS = (
    ("temperature", "temperature", False),
    ("top_p", "top_p", False),
    ("top_k", "top_k", True),
    ("min_p", "min_p", False),
    ("seed", "seed", True),
    ("presence_penalty", "presence_penalty", False),
    ("frequency_penalty", "frequency_penalty", False),
    ("repetition_penalty", "repeat_penalty", False),
)
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
    form = _object(body, "response_format")
    if form.get("type") == "json_object":
        request["format"] = "json"
    elif form.get("type") == "json_schema":
        request["format"] = _object(form, "json_schema").get("schema") or "json"
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
    """Whether the caller lets the model think. Raises UpstreamUnfit."""
    keywords = _object(body, "chat_template_kwargs")
    if keywords.get("thinking") is False or keywords.get("enable_thinking") is False:
        return False
    off = _object(body, "thinking").get("type") == "disabled"
    return not off and body.get("reasoning_effort") != "none"


def _request(asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
    body = asked.body
    given = {"temperature": defaults.temperature, "top_p": defaults.top_p}
    options: dict[str, Any] = {}
    for field, option, whole in _OPTIONS:
        value = body.get(field)
        value = given.get(field) if value is None else value
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise _unfit(f"'{field}' must be a {'whole ' if whole else ''}number", field)
        options[option] = value
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(each, str) for each in stops):
        raise _unfit("'stop' must be a text or a list of texts", "stop")
    if stops:
        options["stop"] = stops
    if asked.max_tokens is not None:
        options["num_predict"] = asked.max_tokens
    return {"model": served, "stream": asked.stream, "options": options, **_HONEST}


def _refuse_unfit(body: dict[str, Any], fields: tuple[str, ...]) -> None:
    if (body.get("n") or 1) > 1:
        raise _unfit("'n' must be 1", "n")
    for field in fields:
        if body.get(field):
            raise _unfit(f"'{field}' is not supported", field)


def _object(body: dict[str, Any], field: str) -> dict[str, Any]:
    """The object at a field, an empty one where there is none."""
    value = body.get(field) or {}
    if not isinstance(value, dict):
        raise _unfit(f"'{field}' must be an object", field)
    return value


def _unfit(what: str, param: str) -> UpstreamUnfit:
    return UpstreamUnfit(
        f"{what} at the model server that is left for this model (Ollama).", param=param
    )


def _message(message: dict[str, Any]) -> dict[str, Any]:
    role = message["role"]
    out: dict[str, Any] = {"role": "system" if role == "developer" else role}
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
        out["tool_calls"] = _calls(message["tool_calls"])
    for field in ("tool_call_id", "tool_name"):
        if message.get(field):
            out[field] = message[field]
    return out


def _parts(parts: list[Any]) -> tuple[str, list[str]]:
    """The text of a message's parts, and its images in base64."""
    texts, images = [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        url = str(_object(part, "image_url").get("url")) if kind == "image_url" else ""
        if kind == "text":
            texts.append(str(part.get("text") or ""))
        elif url.startswith("data:") and ";base64," in url:
            images.append(url.partition(";base64,")[2])
        else:
            raise _unfit("messages may hold only text and images in base64", "messages")
    return "\n".join(texts), images


def _calls(calls: Any) -> list[dict[str, Any]]:
    """The tool calls of an earlier answer: Ollama wants the arguments as an object."""
    try:
        return [
            {
                "function": {
                    "name": call["function"]["name"],
                    "arguments": orjson.loads(call["function"].get("arguments") or "{}"),
                }
            }
            for call in calls
        ]
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
        what = "each of 'tool_calls' must have a name and arguments in JSON"
        raise _unfit(what, "messages") from error
