"""Turning thinking on and off: what callers write, and what a model's template understands. Pure.

There are four ways to say it: DeepSeek's and Anthropic's `thinking: {"type": …}`, OpenAI's effort
(`none` is off), and vLLM's `chat_template_kwargs` with `thinking` or `enable_thinking`.
"""

from __future__ import annotations

from typing import Any, Literal

from gateway.errors import InvalidRequest
from gateway.protocol.fields import Api
from gateway.protocol.rules import flag, one_of, record

_SWITCHES = ("thinking", "enable_thinking")
_EFFORT = one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")
_KIND = one_of("enabled", "disabled", "adaptive", "auto")
_EFFORT_IN: dict[Api, tuple[str, ...]] = {
    "chat": ("reasoning_effort",),
    "responses": ("reasoning", "effort"),
    "messages": ("output_config", "effort"),
    "count_tokens": ("output_config", "effort"),
}


def apply_thinking(
    body: dict[str, Any], api: Api, mode: Literal["always", "switched"]
) -> dict[str, Any]:
    """The body as the model's template understands it. Raises InvalidRequest.

    A model that always thinks can't be told not to: that is refused, not ignored, for the caller
    would wait for and pay for reasoning that was not wanted.
    """
    wish, field = _wish(body, api)
    if wish is False and mode == "always":
        raise InvalidRequest(
            f"'{field}' asks for no thinking, but this model always thinks. "
            "Leave the field out, or ask another model.",
            param=field,
        )
    if wish is None and "thinking" not in body:
        return body
    body = {name: value for name, value in body.items() if name != "thinking"}
    if mode == "switched" and wish is not None:
        # For model servers that take DeepSeek's form.
        body["thinking"] = {"type": "enabled" if wish else "disabled"}
    keywords = dict(body.get("chat_template_kwargs") or {})
    for switch in _SWITCHES:
        keywords.pop(switch, None)
        if mode == "switched" and wish is not None:
            keywords[switch] = wish
    if keywords:
        body["chat_template_kwargs"] = keywords
    else:
        body.pop("chat_template_kwargs", None)
    return body


def is_off(body: dict[str, Any]) -> bool:
    """Whether a body that `apply_thinking` gave asks the template not to think."""
    return (body.get("chat_template_kwargs") or {}).get("thinking") is False


def _wish(body: dict[str, Any], api: Api) -> tuple[bool | None, str]:
    """Whether to think, None where nothing is said, and the field that says so."""
    wish: bool | None = None
    said = ""
    for field, value in _said(body, api):
        if wish is not None and value is not wish:
            raise InvalidRequest(f"'{field}' contradicts '{said}'.", param=field)
        wish, said = value, field
    return wish, said


def _said(body: dict[str, Any], api: Api) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    thinking = body.get("thinking")
    if thinking is not None:
        record("thinking", thinking)
        kind = thinking.get("type")
        _KIND("thinking.type", kind)
        if kind in ("enabled", "disabled"):
            found.append(("thinking.type", kind == "enabled"))
    effort: Any = body
    for name in _EFFORT_IN[api]:
        effort = effort.get(name) if isinstance(effort, dict) else None
    if effort is not None:
        field = ".".join(_EFFORT_IN[api])
        _EFFORT(field, effort)
        found.append((field, effort != "none"))
    keywords = body.get("chat_template_kwargs") or {}
    for switch in _SWITCHES:
        if keywords.get(switch) is not None:
            flag(f"chat_template_kwargs.{switch}", keywords[switch])
            found.append((f"chat_template_kwargs.{switch}", keywords[switch]))
    return found
