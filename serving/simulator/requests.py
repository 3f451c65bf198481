"""Reads a request as vLLM does, and refuses what vLLM refuses."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from serving.simulator.answers import BOS, encode, prompt_of
from serving.simulator.wire import Asked, refusal


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = refusal(message, kind, status, param)


@dataclass(frozen=True)
class Request:
    """What is asked for, checked."""

    asked: Asked
    limit: int
    choices: int
    stops: tuple[str, ...]
    stream: bool
    ignore_eos: bool
    budget: int | None
    penalised: bool
    salt: str
    nonces: tuple[int, ...]


def read(
    body: dict[str, Any],
    models: tuple[str, ...],
    context: int,
    *,
    chat: bool,
    tool: str | None = None,
    drift: float = 0.0,
) -> Request:
    """A request from its body; `context` is max_model_len, `tool` is called where there are any.

    `drift` are nats by which log-probabilities are wrong.

    Raises:
        Refused: as vLLM refuses it.
    """
    model = body.get("model")
    if model not in models:
        raise Refused(404, "NotFoundError", f"The model `{model}` does not exist.", "model")
    if chat:
        kwargs = body.get("chat_template_kwargs") or {}
        prompt = prompt_of(
            body["messages"],
            thinking=kwargs.get("thinking", True),
            goes_on=bool(body.get("continue_final_message")),
        )
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
    else:
        given = body["prompt"]
        prompt = [BOS, *encode(given)] if isinstance(given, str) else list(given)
        if "max_tokens" in body and body["max_tokens"] is None:
            raise Refused(500, "InternalServerError", "assertion")
        limit = body.get("max_tokens", 16)
    _fits(len(prompt), limit, context)
    room = context - len(prompt)
    choices = body.get("n") or 1
    stop = body.get("stop") or ()
    return Request(
        Asked(
            chat=chat,
            model=model,
            id=("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(8),
            created=int(time.time()),
            prompt=prompt,
            wants_ids=bool(body.get("return_token_ids")),
            wants_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            logprobs=_logprobs(body, chat=chat),
            prompt_logprobs=None if chat else body.get("prompt_logprobs"),
            names_ids=bool(body.get("return_tokens_as_token_ids")),
            drift=drift,
            echo=not chat and bool(body.get("echo")),
            goes_on=bool(body.get("continue_final_message")),
            tool=tool if body.get("tools") and body.get("tool_choice") != "none" else None,
        ),
        limit=room if limit is None else min(limit, room),
        choices=choices,
        stops=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=bool(body.get("stream")),
        ignore_eos=bool(body.get("ignore_eos")),
        budget=body.get("thinking_token_budget"),
        penalised=(body.get("repetition_penalty") or 1) > 1,
        salt=body.get("cache_salt") or "",
        nonces=tuple(_nonce(body, choice) for choice in range(choices)),
    )


def _logprobs(body: dict[str, Any], *, chat: bool) -> int | None:
    if not chat:
        told: int | None = body.get("logprobs")
        return told
    return (body.get("top_logprobs") or 0) if body.get("logprobs") else None


def _nonce(body: dict[str, Any], choice: int) -> int:
    """Nothing for a greedy answer, the seed's for a seeded one, else chance."""
    if body.get("temperature") == 0:
        return 0
    seed = body.get("seed")
    return secrets.randbits(32) if seed is None else hash((seed, choice)) & 0xFFFFFFFF


def _fits(prompt: int, limit: int | None, context: int) -> None:
    if limit is not None and limit > context:
        text = f"max_tokens={limit} cannot be greater than max_model_len={context}."
        raise Refused(400, "BadRequestError", text, "max_tokens")
    if prompt + (limit or 0) > context or prompt >= context:
        text = (
            f"This model's maximum context length is {context} tokens. However, you requested "
            f"{limit or 0} output tokens and your prompt contains {prompt} input tokens."
        )
        raise Refused(400, "BadRequestError", text, "input_tokens")
