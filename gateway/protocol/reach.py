"""What a request may not make a model server do: fetch URLs, call tool servers, change its
tokenizer's work. Pure.

The gateway itself opens no address that a request names. A model server does, from inside the
network: so only `data:` URLs are let through, unless `bounds.remote_urls` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.errors import InvalidRequest
from gateway.settings import Bounds

_URLS = {"url", "image_url", "video_url", "audio_url", "file_url", "server_url"}
# Serialised tensors, which are loaded as such.
_TENSORS = {"image_embeds", "audio_embeds", "video_embeds", "prompt_embeds"}
# Told of what was said, and never fetched.
_TOLD = "annotations"
# Arguments of the tokenizer's own function, which the template's are handed over beside.
_RESERVED = {
    "chat_template",
    "conversation",
    "max_length",
    "messages",
    "padding",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "tokenize",
    "tokenizer_kwargs",
    "tools",
    "truncation",
}


def check_reach(body: dict[str, Any], bounds: Bounds) -> None:
    """Raises InvalidRequest, naming the field."""
    for name in body.get("chat_template_kwargs") or ():
        if name in _RESERVED:
            field = f"chat_template_kwargs.{name}"
            raise InvalidRequest(f"'{field}' may not be set here; leave it out.", param=field)
    if bounds.remote_urls:
        return
    for turns in ("messages", "input"):
        given = body.get(turns)
        for index, turn in enumerate(given if isinstance(given, list) else ()):
            if not (isinstance(turn, dict) and len(turn) == 2 and _says_text(turn)):
                _check(f"{turns}[{index}]", turn)
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and tool.get("type") == "mcp":
            raise _refused(f"tools[{index}].type", "servers of tools are not called")
    if body.get("mcp_servers"):
        raise _refused("mcp_servers", "servers of tools are not called")


def _says_text(turn: dict[str, Any]) -> bool:
    return isinstance(turn.get("content"), str) and "role" in turn


def _check(field: str, value: Any) -> None:
    for place, url in _named(field, value):
        if not isinstance(url, str) or url[:5].lower() != "data:":
            raise _refused(place, "nothing is fetched; send the content itself, as a data: URL")


def _named(field: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Where URLs stand in a value, each with its place."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _named(f"{field}[{index}]", each)
    if not isinstance(value, dict):
        return
    for name, each in value.items():
        place = f"{field}.{name}"
        if name in _TENSORS:
            yield place, None
        elif name in _URLS and not isinstance(each, dict):
            if each is not None:
                yield place, each
        elif name != _TOLD:
            yield from _named(place, each)


def _refused(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"'{field}' is not allowed here: {why}.", param=field)
