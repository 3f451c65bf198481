"""From vLLM's answer to the one that a batch's output holds. Pure.

vLLM calls the chain of thought `reasoning`; clients of DeepSeek's read `reasoning_content`. And
vLLM counts reasoning tokens between `<think>` and `</think>`: with a template that opens the block
in the prompt it finds only the second, and says 0.
"""

import json
from collections.abc import Sequence
from typing import Any

from serving.batch.fields import CHAT

_IDS = ("token_ids", "prompt_token_ids")
_ENGINES_OWN = (*_IDS, "prompt_text", "kv_transfer_params", "ec_transfer_params", "metrics")


def question(body: dict[str, Any], model: str) -> dict[str, Any]:
    """What the engine is asked: the line's body, by the model's own id, with the tokens' ids."""
    return {**body, "model": model, "return_token_ids": True}


def told(body: dict[str, Any], *, url: str, ids_wanted: bool, think_end: int | None) -> None:
    """Change an answer of status 200 in place.

    Args:
        body: what vLLM answered to `question`.
        url: where it was asked.
        ids_wanted: the line's own body asked for the tokens' ids.
        think_end: the id of `</think>`; None where the model does not think.
    """
    counted = 0
    for choice in body["choices"]:
        message = choice.get("message")
        if isinstance(message, dict):
            reasoning = message.pop("reasoning", None)
            message["reasoning_content"] = reasoning
            if reasoning is not None and think_end is not None:
                counted += thinking_tokens(choice.get("token_ids") or (), think_end)
        if not ids_wanted:
            for name in _IDS:
                choice.pop(name, None)
    for name in _ENGINES_OWN:
        if name not in _IDS or not ids_wanted:
            body.pop(name, None)
    usage = body.get("usage")
    if url == CHAT and isinstance(usage, dict):
        details = usage.get("completion_tokens_details") or {}
        usage["completion_tokens_details"] = {**details, "reasoning_tokens": counted}


def thinking_tokens(ids: Sequence[int], think_end: int) -> int:
    """Tokens before `</think>` in an answer that began inside the block; all, if it is not there.

    The mark itself is no token of the reasoning.
    """
    return ids.index(think_end) if think_end in ids else len(ids)


def as_object(status: int, text: bytes) -> dict[str, Any]:
    """The engine's answer as an object, whatever it was, in OpenAI's form if it was none."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict) and (status != 200 or isinstance(body.get("choices"), list)):
        return body
    message = text.decode(errors="replace")[:500] or "no answer"
    return {"error": {"message": message, "type": "server_error", "param": None, "code": status}}
