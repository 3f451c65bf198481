"""Making max_tokens fit into what remains of the context at one upstream."""

from __future__ import annotations

from typing import Any

from gateway.errors import ContextLengthExceeded
from gateway.model_settings import Timeouts
from gateway.protocol.clamp import Fit, decide, largest, prompt_token_bound
from gateway.protocol.request import Api, Asked, set_max_tokens
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pool import Upstream

# vLLM's own answer length for a completion that names none.
_COMPLETION_DEFAULT = 16
# What of a request in Anthropic's form the count of its prompt needs.
_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "chat_template_kwargs")


class FitContext:
    """Clamps max_tokens exactly; asks the upstream's tokenizer only when it must."""

    def __init__(self, client: UpstreamClient) -> None:
        self._client = client

    async def __call__(
        self, asked: Asked, body: dict[str, Any], upstream: Upstream, timeouts: Timeouts
    ) -> None:
        """Set max_tokens in `body`. Raises ContextLengthExceeded or UpstreamError."""
        context = upstream.context_length
        wanted = asked.max_tokens
        if wanted is None and asked.api == "completions":
            wanted = _COMPLETION_DEFAULT
        if context is None or wanted is None or not upstream.dialect.tokenizes:
            return
        bound = prompt_token_bound(asked.raw, body)
        fit = decide(wanted, bound, context, may_drop=asked.api in ("chat", "responses"))
        if fit is Fit.DROP:
            set_max_tokens(body, None, asked.api)
        elif fit is Fit.COUNT and asked.api != "responses":
            prompt = await self._count(asked.api, body, upstream, timeouts)
            fitting = largest(wanted, prompt, context)
            if fitting < min(wanted, 1):
                raise ContextLengthExceeded(
                    f"The prompt has {prompt} tokens and the model's context is {context} tokens: "
                    "nothing is left for an answer. Shorten the prompt.",
                    param="prompt" if asked.api == "completions" else "messages",
                )
            if fitting < wanted:
                set_max_tokens(body, fitting, asked.api)

    async def _count(
        self, api: Api, body: dict[str, Any], upstream: Upstream, timeouts: Timeouts
    ) -> int:
        if api == "chat":
            return await self._client.count_tokens(
                upstream, _chat_prompt(body, upstream.model), timeouts
            )
        if api == "messages":
            question = {name: body[name] for name in _COUNTED if body.get(name) is not None}
            return await self._client.count_message_tokens(upstream, question, timeouts)
        most = 0
        for prompt in _prompts(body["prompt"]):
            if isinstance(prompt, list):
                most = max(most, len(prompt))
                continue
            question = {
                "model": upstream.model,
                "prompt": prompt,
                "add_special_tokens": body.get("add_special_tokens", True),
            }
            most = max(most, await self._client.count_tokens(upstream, question, timeouts))
        return most


def _chat_prompt(body: dict[str, Any], model: str) -> dict[str, Any]:
    """What vLLM's /tokenize needs to render the same prompt as the chat request."""
    prompt: dict[str, Any] = {"model": model, "messages": body["messages"]}
    for field in ("tools", "add_generation_prompt", "continue_final_message", "add_special_tokens"):
        if body.get(field) is not None:
            prompt[field] = body[field]
    # A chat request hands these to the template too; /tokenize takes them only in this way.
    written = {
        field: body[field]
        for field in ("documents", "reasoning_effort")
        if body.get(field) is not None
    }
    keywords = {**(body.get("chat_template_kwargs") or {}), **written}
    if keywords:
        prompt["chat_template_kwargs"] = keywords
    return prompt


def _prompts(prompt: Any) -> list[Any]:
    """The prompts of a completion: texts, or lists of token ids."""
    if isinstance(prompt, str):
        return [prompt]
    if prompt and isinstance(prompt[0], int):
        return [prompt]
    return list(prompt)
