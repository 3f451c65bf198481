"""Warm-up: short requests through a replica's own HTTP application before it is called ready.

The first requests of a fresh engine are slow (kernels are compiled for the shapes they meet, the
chat template and the parsers are loaded). The warm-up meets them first: a prefill and a decode at
several batch sizes, plain and streaming, on the same path a user's request takes.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

CHAT_PATH = "/v1/chat/completions"


class WarmUpError(RuntimeError):
    """The engine didn't answer a warm-up request: the replica must not be called ready."""


@dataclass(frozen=True)
class WarmUpStep:
    """One wave of equal requests sent together: `batch` of them, `tokens` output tokens each."""

    batch: int
    tokens: int
    stream: bool
    words: int


def warm_up_steps(max_num_seqs: int, largest_batch: int = 16) -> list[WarmUpStep]:
    """Return the waves: one alone, one streaming, then batches that double.

    Batches stop at `largest_batch` or at what the engine runs together, whichever is smaller.
    """
    top = max(1, min(max_num_seqs, largest_batch))
    steps = [
        WarmUpStep(batch=1, tokens=4, stream=False, words=4),
        WarmUpStep(batch=1, tokens=8, stream=True, words=32),
    ]
    batch = 2
    while batch < top:
        steps.append(WarmUpStep(batch=batch, tokens=4, stream=True, words=8))
        batch *= 2
    if top > 1:
        steps.append(WarmUpStep(batch=top, tokens=8, stream=True, words=16))
    return steps


def request_body(model: str, step: WarmUpStep, seed: int) -> bytes:
    """Return the JSON body of one warm-up request; `seed` makes prompts differ from each other.

    Sampled, not greedy, because R1's defaults sample: that is the path to compile. Whole answers
    are asked for with log-probabilities, which have kernels of their own: the gateway's canary asks
    for them, and others would wait while they compile.
    """
    content = " ".join(f"{seed + word} + {word}" for word in range(step.words))
    body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": step.tokens,
        "temperature": 0.6,
        "top_p": 0.95,
        "stream": step.stream,
        "ignore_eos": True,
    }
    if not step.stream:
        body |= {"logprobs": True, "top_logprobs": 1}
    return json.dumps(body).encode()


async def call(app: ASGIApp, path: str, body: bytes, api_key: str | None) -> tuple[int, bytes]:
    """Send one POST to an ASGI application in this process; return its status and whole body."""
    headers = [(b"content-type", b"application/json"), (b"host", b"warm-up")]
    if api_key:
        headers.append((b"authorization", f"Bearer {api_key}".encode()))
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }
    sent = False
    finished = asyncio.Event()
    status = 0
    chunks: list[bytes] = []

    async def receive() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        # A real client stays connected until it has the answer; so does this one.
        await finished.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                finished.set()

    await app(scope, receive, send)
    finished.set()
    return status, b"".join(chunks)


async def warm_up(
    app: ASGIApp,
    *,
    model: str,
    steps: list[WarmUpStep],
    api_key: str | None,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Run the steps one after the other, the requests of a step together; return the seconds taken.

    Raises:
        WarmUpError: an answer was not 200, a stream carried an error, or it took over `timeout_s`.
    """
    began = clock()
    try:
        async with asyncio.timeout(timeout_s):
            seed = 0
            for step in steps:
                bodies = [request_body(model, step, seed + index) for index in range(step.batch)]
                seed += step.batch
                answers = await asyncio.gather(
                    *(call(app, CHAT_PATH, body, api_key) for body in bodies)
                )
                for status, answer in answers:
                    _check(step, status, answer)
    except TimeoutError as error:
        raise WarmUpError(f"the warm-up of {model} took longer than {timeout_s:.0f} s") from error
    return clock() - began


def _check(step: WarmUpStep, status: int, answer: bytes) -> None:
    text = answer.decode(errors="replace")
    if status != 200:
        raise WarmUpError(f"a warm-up request was answered {status}: {text[:500]}")
    if step.stream and 'data: {"error"' in text:
        error = text[text.index('data: {"error"') :]
        raise WarmUpError(f"a warm-up stream carried an error: {error[:500]}")
    if step.stream and "data: [DONE]" not in text:
        raise WarmUpError(f"a warm-up stream ended without [DONE]: {text[-500:]}")
