r"""What a model's makers advise, applied to a request before anything else looks at it. Pure.

R1's authors: no system prompt, all instructions in the user's message; for mathematics the final
answer within \boxed{}; an answer that begins with `<think>`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from gateway.errors import InvalidRequest
from gateway.model_settings import Advice
from gateway.protocol.conversation import TEXT_PARTS
from gateway.protocol.prefix import ASSISTANT, CLOSE, OPEN, complete_prefix, force_think, goes_on
from gateway.protocol.request import Asked
from gateway.protocol.thinking import apply_thinking, is_off

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."

# An operator between numbers or single letters; LaTeX; or a word of the trade.
_MATHEMATICS = re.compile(
    r"(?<!\w)(?:\d+(?:\.\d+)?|[a-z])\s*[-+*/^=<>×÷−·]\s*(?:\d|[a-z](?!\w)|\()"
    r"|\\(?:frac|sqrt|sum|int|lim|begin|cdot|times)\b|\$[^$\n]{1,200}\$"
    r"|\b(?:solve|prove|calculate|compute|evaluate|simplify|equation|integral|derivative|theorem"
    r"|probability|triangle|polynomial|modulo|how many|what is the (?:sum|product|value|area))\b"
    r"|[求解证]明?[^a-z]{0,20}[方程值和积]|计算|多少|概率|等于",
    re.IGNORECASE,
)
_SYSTEM = ("system", "developer")
_TURNS = {"chat": "messages", "responses": "input", "messages": "messages"}
_OWN_SYSTEM = {"responses": "instructions", "messages": "system"}

Turns = list[dict[str, Any]]


def advise(asked: Asked, advice: Advice) -> Asked:
    """The request as this model should be asked. Raises InvalidRequest."""
    if asked.api == "completions":
        return asked
    body = apply_thinking(asked.body, asked.api, advice.thinking)
    thinks = True
    # A count of tokens is that of the same prompt.
    body = _conversation(body, "messages" if asked.api == "count_tokens" else asked.api, advice)
    if asked.api == "chat":
        if advice.echoed_reasoning == "refuse":
            _refuse_echoes(body["messages"])
        body, thinks = complete_prefix(body)
        if advice.force_think and not goes_on(body) and not is_off(body):
            body = force_think(body)
    if body is asked.body:
        return asked
    return replace(asked, body=body, thinks=thinks)


def looks_like_mathematics(text: str) -> bool:
    """Whether a question looks like one of mathematics; cheap, and wrong now and then."""
    return _MATHEMATICS.search(text) is not None


def _conversation(body: dict[str, Any], api: str, advice: Advice) -> dict[str, Any]:
    if advice.system_prompt == "passed" and advice.boxed == "off":
        return body
    body = dict(body)
    given = body[_TURNS[api]]
    turns: Turns = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
    if advice.system_prompt != "passed":
        own = body.pop(_OWN_SYSTEM.get(api, ""), None)
        texts = [text_of(own)] if own else []
        texts += [text_of(turn.get("content")) for turn in turns if turn.get("role") in _SYSTEM]
        turns = [turn for turn in turns if turn.get("role") not in _SYSTEM]
        if not turns:
            # A system prompt is all there is: then it is the question.
            turns = [{"role": "user", "content": "\n\n".join(filter(None, texts))}]
        elif advice.system_prompt == "folded" and any(texts):
            _write(turns, "\n\n".join(filter(None, texts)) + "\n\n", api, first=True)
    if advice.boxed != "off":
        _ask_for_a_box(turns, api, always=advice.boxed == "always")
    body[_TURNS[api]] = turns
    return body


def _ask_for_a_box(turns: Turns, api: str, *, always: bool) -> None:
    texts = [text_of(turn.get("content")) for turn in turns]
    questions = [text for turn, text in zip(turns, texts, strict=True) if _is_user(turn)]
    if not questions or any("\\boxed" in text for text in texts):
        return
    if always or looks_like_mathematics(questions[-1]):
        _write(turns, "\n" + BOXED, api, first=False)


def _write(turns: Turns, text: str, api: str, *, first: bool) -> None:
    """Add to the front of the first user's message, or to the end of the last one."""
    places = [index for index, turn in enumerate(turns) if _is_user(turn)]
    if not places:
        turns.insert(0, {"role": "user", "content": text})
        return
    place = places[0] if first else places[-1]
    content = turns[place].get("content") or ""
    if isinstance(content, str):
        content = text + content if first else content + text
    else:
        part = {"type": "input_text" if api == "responses" else "text", "text": text}
        content = [part, *content] if first else [*content, part]
    turns[place] = {**turns[place], "content": content}


def _is_user(turn: dict[str, Any]) -> bool:
    return turn.get("role") == "user"


def text_of(content: Any) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    parts = content or ()
    return "\n".join(part["text"] for part in parts if part.get("type") in TEXT_PARTS)


def prompt_text(body: dict[str, Any]) -> str:
    """All that a chat's messages say, without what was added to them here."""
    text = "\n".join(text_of(message.get("content")) for message in body["messages"])
    for added in (BOXED, ASSISTANT, OPEN, CLOSE):
        text = text.replace(added, "\n")
    return text


def _refuse_echoes(messages: Turns) -> None:
    for index, message in enumerate(messages):
        for name in ("reasoning_content", "reasoning"):
            if message.get(name) and not message.get("prefix"):
                field = f"messages[{index}].{name}"
                raise InvalidRequest(
                    f"'{field}' is not accepted for this model: "
                    "leave the reasoning of earlier answers out.",
                    param=field,
                )
