"""A stand-in for vLLM 0.29's HTTP server: the same shapes, no model, faults on demand.

The shapes follow vllm/entrypoints/openai/{chat_completion,completion}/serving.py of vLLM 0.29.0:
which keys a chunk has, which are null, the extra chunk for a lone `</think>` when token ids are
asked for, the usage event at the end, the error event that is followed by `[DONE]`.

Tokens are bytes (id = byte + 10) and four marks. `POST /control` sets what the next requests do,
`GET /seen` tells what was asked and how many generations run or were stopped by their caller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

BOS, EOS, THINK, END_THINK, USER, ASSISTANT = 0, 1, 2, 3, 4, 5


def encode(text: str) -> list[int]:
    """Token ids of a text: one a byte, except for the think marks."""
    ids: list[int] = []
    for part in re.split("(</?think>)", text):
        mark = {"<think>": THINK, "</think>": END_THINK}.get(part)
        ids.extend([byte + 10 for byte in part.encode()] if mark is None else [mark])
    return ids


def decode(token: int) -> str:
    """The text of one token; a byte of a longer character gives nothing by itself."""
    byte = token - 10
    return chr(byte) if 0 <= byte < 128 else ""


@dataclass
class State:
    """What the server does and has seen."""

    model: str
    max_model_len: int
    key: str | None
    reasoning: str = "7+5=12"
    content: str = "\\boxed{12}"
    delay_s: float = 0.0
    first_delay_s: float = 0.0
    fault: str = ""
    per_chunk: int = 1
    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    running: int = 0
    aborted: int = 0
    tokenized: int = 0
    sent: int = 0


def prompt_ids(messages: list[dict[str, Any]]) -> list[int]:
    """The chat template: R1's, with the think block opened."""
    ids = [BOS]
    for message in messages:
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        ids += [USER if message["role"] == "user" else ASSISTANT, *encode(content)]
    return [*ids, ASSISTANT, THINK, *encode("\n")]


class Server:
    """The routes."""

    def __init__(self, state: State) -> None:
        self.state = state

    def app(self) -> web.Application:
        """The application, also below a route prefix such as Ray Serve's."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for prefix in ("", "/r1-nano"):
            app.router.add_post(prefix + "/v1/chat/completions", self.chat)
            app.router.add_post(prefix + "/v1/completions", self.completions)
            app.router.add_post(prefix + "/tokenize", self.tokenize)
            app.router.add_get(prefix + "/health", self.health)
        app.router.add_post("/control", self.control)
        app.router.add_get("/seen", self.show)
        return app

    async def control(self, request: web.Request) -> web.Response:
        """Change what the server does."""
        for name, value in (await request.json()).items():
            setattr(self.state, name, value)
        return web.json_response({})

    async def show(self, request: web.Request) -> web.Response:
        """What was seen."""
        state = self.state
        return web.json_response(
            {
                "seen": state.seen,
                "headers": state.headers,
                "running": state.running,
                "aborted": state.aborted,
                "tokenized": state.tokenized,
                "sent": state.sent,
            }
        )

    async def health(self, request: web.Request) -> web.Response:
        """vLLM's health."""
        return web.Response(status=503 if self.state.fault == "ill" else 200)

    async def tokenize(self, request: web.Request) -> web.Response:
        """vLLM's /tokenize."""
        body = await request.json()
        if "messages" in body:
            ids = prompt_ids(body["messages"])
            self.state.tokenized += 1
        else:
            ids = [BOS] if body.get("add_special_tokens", True) else []
            ids += encode(body["prompt"])
            self.state.tokenized += body["prompt"] != "</think>"
        return web.json_response(
            {
                "count": len(ids),
                "max_model_len": self.state.max_model_len,
                "tokens": ids,
                "token_strs": None,
            }
        )

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """vLLM's chat completions."""
        body = await request.json()
        early = await self._early(request, body)
        if early is not None:
            return early
        prompt = prompt_ids(body["messages"])
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        refused = self._too_long(len(prompt), limit)
        if refused is not None:
            return refused
        room = self.state.max_model_len - len(prompt)
        limit = room if limit is None else min(limit, room)
        ids = [*encode(self.state.reasoning), END_THINK, *encode(self.state.content), EOS]
        finish = "stop" if len(ids) <= limit else "length"
        ids = ids[:limit]
        if body.get("stream"):
            return await self._generate(request, self._chat_events(body, prompt, ids, finish))
        return await self._whole(request, self._chat_body(body, prompt, ids, finish))

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """vLLM's text completions."""
        body = await request.json()
        early = await self._early(request, body)
        if early is not None:
            return early
        if "max_tokens" in body and body["max_tokens"] is None:
            return fault(500, "InternalServerError", "assertion")
        limit = body.get("max_tokens", 16)
        prompt = body["prompt"]
        if isinstance(prompt, str):
            prompt = [BOS, *encode(prompt)]
        refused = self._too_long(len(prompt), limit)
        if refused is not None:
            return refused
        ids = [*encode(self.state.content), EOS]
        finish = "stop" if len(ids) <= limit else "length"
        ids = ids[:limit]
        usage = usage_of(len(prompt), len(ids))
        base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {
                "index": 0,
                "text": "".join(decode(each) for each in ids),
                "logprobs": None,
                "finish_reason": finish,
                "stop_reason": None,
                "token_ids": None,
                "prompt_logprobs": None,
                "prompt_token_ids": None,
                "routed_experts": None,
            }
            answer = {
                **base,
                "choices": [choice],
                "service_tier": None,
                "system_fingerprint": "vllm-0.29.0",
                "usage": usage,
                "kv_transfer_params": None,
            }
            return await self._whole(request, answer)

        async def events() -> AsyncIterator[dict[str, Any] | str]:
            for place, token in enumerate(ids):
                last = place == len(ids) - 1
                choice = {
                    "index": 0,
                    "text": decode(token),
                    "logprobs": None,
                    "finish_reason": finish if last else None,
                    "stop_reason": None,
                    "prompt_token_ids": None,
                    "token_ids": None,
                }
                yield {**base, "choices": [choice]}
            if (body.get("stream_options") or {}).get("include_usage"):
                yield {**base, "choices": [], "usage": usage}
            yield "[DONE]"

        return await self._generate(request, events())

    async def _early(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse | None:
        state = self.state
        state.seen.append(body)
        state.headers.append({name.lower(): value for name, value in request.headers.items()})
        if state.key is not None and request.headers.get("authorization") != f"Bearer {state.key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        if body.get("model") != state.model:
            return fault(404, "NotFoundError", f"The model `{body.get('model')}` does not exist.")
        if state.fault.isdigit():
            headers = {"retry-after": "7"} if state.fault in ("429", "503") else {}
            return fault(int(state.fault), "InternalServerError", "secret internals", headers)
        if state.fault == "die":
            cut(request)
            return web.Response()
        if state.fault == "hang":
            await self._wait(request, 3600)
        return None

    def _too_long(self, prompt: int, limit: int | None) -> web.Response | None:
        total = self.state.max_model_len
        if limit is not None and limit > total:
            text = f"max_tokens={limit} cannot be greater than max_model_len={total}."
            return fault(400, "BadRequestError", text, param="max_tokens")
        if prompt + (limit or 0) > total or prompt >= total:
            text = (
                f"This model's maximum context length is {total} tokens. However, you requested "
                f"{limit or 0} output tokens and your prompt contains {prompt} input tokens."
            )
            return fault(400, "BadRequestError", text, param="input_tokens")
        return None

    def _chat_body(
        self, body: dict[str, Any], prompt: list[int], ids: list[int], finish: str
    ) -> dict[str, Any]:
        end = ids.index(END_THINK) if END_THINK in ids else len(ids)
        content = "".join(decode(each) for each in ids[end + 1 :])
        wants_ids = body.get("return_token_ids")
        choices = [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": content or None,
                    "refusal": None,
                    "annotations": None,
                    "audio": None,
                    "function_call": None,
                    "reasoning": "".join(decode(each) for each in ids[:end]),
                },
                "logprobs": None,
                "finish_reason": finish,
                "stop_reason": None,
                "token_ids": ids if wants_ids else None,
                "routed_experts": None,
            }
            for index in range(body.get("n") or 1)
        ]
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": "vllm-0.29.0",
            "usage": usage_of(len(prompt), len(ids) * len(choices), reasoning=True),
            "prompt_logprobs": None,
            "prompt_token_ids": prompt if wants_ids else None,
            "prompt_text": None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    async def _chat_events(
        self, body: dict[str, Any], prompt: list[int], ids: list[int], finish: str
    ) -> AsyncIterator[dict[str, Any] | str]:
        base = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": body["model"],
        }
        count = body.get("n") or 1
        wants_ids = body.get("return_token_ids")
        for index in range(count):
            delta = {"role": "assistant", "content": ""}
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield {
                **base,
                "choices": [choice],
                "prompt_token_ids": prompt if wants_ids else None,
                "prompt_text": None,
            }
        ended = False
        for start in range(0, len(ids), self.state.per_chunk):
            part = ids[start : start + self.state.per_chunk]
            last = start + self.state.per_chunk >= len(ids)
            said = split_delta(part, ended)
            ended = ended or END_THINK in part
            if said is None and not wants_ids and not last:
                continue
            for index in range(count):
                choice = {
                    "index": index,
                    "delta": said or {},
                    "logprobs": None,
                    "finish_reason": finish if last else None,
                }
                if last:
                    choice["stop_reason"] = None
                choice["token_ids"] = part if wants_ids else None
                yield {**base, "choices": [choice]}
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = usage_of(len(prompt), len(ids) * count, reasoning=True)
            yield {**base, "choices": [], "usage": usage, "system_fingerprint": "vllm-0.29.0"}
        yield "[DONE]"

    async def _whole(self, request: web.Request, answer: dict[str, Any]) -> web.StreamResponse:
        state = self.state
        if state.fault == "garbage":
            return web.Response(text="<html>oops</html>", content_type="text/html")
        if state.fault == "short":
            response = web.StreamResponse(headers={"content-length": "10000"})
            await response.prepare(request)
            await response.write(b'{"id":')
            if request.transport:
                request.transport.close()
            return response
        await self._wait(request, state.first_delay_s)
        return web.json_response(answer)

    async def _generate(
        self, request: web.Request, events: AsyncIterator[dict[str, Any] | str]
    ) -> web.StreamResponse:
        state = self.state
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        state.running += 1
        sent = 0
        try:
            await asyncio.sleep(state.first_delay_s)
            async for event in events:
                if state.fault == "first-error" or (state.fault == "error" and sent == 4):
                    await response.write(b'data: {"error": {"message": "secret internals", ')
                    await response.write(b'"type": "InternalServerError", "param": null, ')
                    await response.write(b'"code": 500}}\n\ndata: [DONE]\n\n')
                    return response
                if state.fault == "cut" and sent == 4:
                    # As Ray Serve's proxy does when a replica is killed: a clean end, no [DONE].
                    return response
                if state.fault == "reset" and sent == 4:
                    cut(request)
                    return response
                if state.fault == "kill" and sent == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
                if state.fault == "stall" and sent == 4:
                    await asyncio.sleep(3600)
                if state.fault == "no-done" and event == "[DONE]":
                    return response
                if state.fault == "nonsense" and sent == 4:
                    await response.write(b"data: {nonsense\n\n")
                data = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
                if state.fault == "bytewise":
                    for byte in f"data: {data}\n\n".encode():
                        await response.write(bytes([byte]))
                else:
                    await response.write(f"data: {data}\n\n".encode())
                sent += 1
                state.sent += 1
                # Also without a delay: other requests get their turn between two events.
                await asyncio.sleep(state.delay_s)
        except (ConnectionResetError, asyncio.CancelledError):
            state.aborted += 1
            raise
        finally:
            state.running -= 1
        return response

    async def _wait(self, request: web.Request, seconds: float) -> None:
        state = self.state
        state.running += 1
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            state.aborted += 1
            raise
        finally:
            state.running -= 1


def cut(request: web.Request) -> None:
    """Reset the connection."""
    transport = request.transport
    if isinstance(transport, asyncio.Transport):
        transport.abort()


def split_delta(part: list[int], ended: bool) -> dict[str, Any] | None:
    """What vLLM's deepseek_r1 parser makes of a piece of the answer."""
    if part == [END_THINK]:
        return None
    text = "".join(decode(each) for each in part if each != END_THINK)
    if ended:
        return {"content": text}
    if END_THINK not in part:
        return {"reasoning": text}
    at = part.index(END_THINK)
    content = "".join(decode(each) for each in part[at + 1 :])
    return {"reasoning": "".join(decode(each) for each in part[:at]), "content": content or None}


def usage_of(prompt: int, completion: int, *, reasoning: bool = False) -> dict[str, Any]:
    """vLLM's usage: with a prefilled think block its reasoning count is always 0."""
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }
    if reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": 0}
    return usage


def fault(
    status: int,
    kind: str,
    message: str,
    headers: dict[str, str] | None = None,
    param: str | None = None,
) -> web.Response:
    """vLLM's error body."""
    error = {"message": message, "type": kind, "param": param, "code": status}
    return web.json_response({"error": error}, status=status, headers=headers)


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default="r1-nano")
    parser.add_argument("--max-model-len", type=int, default=4096)
    parser.add_argument("--key")
    given = parser.parse_args()
    state = State(given.model, given.max_model_len, given.key)
    web.run_app(
        Server(state).app(),
        host="127.0.0.1",
        port=given.port,
        print=None,
        handler_cancellation=True,
    )


if __name__ == "__main__":
    main()
