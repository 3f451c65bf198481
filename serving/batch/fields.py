"""Which fields a request of a batch may have. Pure.

The engine takes a field that it does not know and does nothing with it, so a misspelt one would be
noticed after the last answer. A slow test compares these names with the installed vLLM's.
"""

from collections.abc import Mapping
from typing import Any

from serving.errors import nearest

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"

WITHOUT_EFFECT = frozenset({"metadata", "store"})
"""OpenAI's own service uses them; they change no answer."""

_SHARED = frozenset(
    {
        "model",
        "max_tokens",
        "n",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "repetition_detection",
        "seed",
        "stop",
        "stop_token_ids",
        "include_stop_str_in_output",
        "ignore_eos",
        "min_tokens",
        "bad_words",
        "allowed_token_ids",
        "logit_bias",
        "logprobs",
        "return_token_ids",
        "return_tokens_as_token_ids",
        "response_format",
        "structured_outputs",
        "thinking_token_budget",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "add_special_tokens",
        "truncate_prompt_tokens",
        "echo",
        "stream",
        "user",
    }
)
FIELDS: Mapping[str, frozenset[str]] = {
    CHAT: _SHARED
    | {
        "messages",
        "max_completion_tokens",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "include_reasoning",
        "chat_template_kwargs",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
    },
    COMPLETIONS: _SHARED | {"prompt", "suffix"},
}
"""By URL: the fields that the engine acts on."""

NEEDED = {CHAT: "messages", COMPLETIONS: "prompt"}


def problems(url: str, body: Mapping[str, Any]) -> list[str]:
    """What is wrong with the fields of a request to one of `FIELDS`, a sentence each.

    Values are the engine's to check: it refuses a request, not the whole batch.
    """
    known = FIELDS[url]
    found = []
    for name in body:
        if name not in known and name not in WITHOUT_EFFECT:
            hint = nearest(name, known) if name != "stream_options" else "leave it out"
            found.append(f"body.{name}: is not supported; {hint}")
    if body.get("stream"):
        found.append("body.stream: an answer of a batch comes whole; leave it out")
    if NEEDED[url] not in body:
        found.append(f"body.{NEEDED[url]}: is missing; add it")
    return found
