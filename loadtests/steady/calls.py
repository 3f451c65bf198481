"""One call: how it is asked, what came, and how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from loadtests.steady.answers import Answer
from loadtests.streams import Target

# How a call ended; an answer with another status than 200 ends as "http STATUS".
DONE = "done"
CUT = "cut"  # the stream's end came without [DONE]
ERROR = "error event"
REFUSED = "no connection"
LOST = "connection lost"
LATE = "time limit"
BROKEN = "unreadable"


@dataclass(frozen=True)
class Question:
    """A greedy question. `tokens`: exactly so many are answered; None: up to the model's end."""

    text: str
    stream: bool
    tokens: int | None = None

    @property
    def kind(self) -> str:
        """For the report."""
        return f"{'long' if self.tokens else 'short'} {'stream' if self.stream else 'call'}"

    def body(self, model: str) -> dict[str, Any]:
        """The chat request."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": self.text}],
            "temperature": 0,
        }
        if self.tokens is not None:
            body |= {"max_tokens": self.tokens, "ignore_eos": True}
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


@dataclass(eq=False)
class Call:
    """A question and what came of it. Times in seconds, `began` from the load's beginning on."""

    question: Question
    began: float
    answer: Answer = field(default_factory=Answer)
    ending: str = DONE
    message: str = ""
    request_id: str = ""
    attempts: int = 0
    ttft: float | None = None
    gap: float = 0.0
    """The longest between two events with text: a resumed stream shows here."""
    gap_end: float = 0.0
    """When that one was over, from the question on."""
    duration: float = 0.0


async def ask(session: aiohttp.ClientSession, target: Target, call: Call) -> Call:
    """Ask once, without any retry; whatever comes and goes wrong is told in the call."""
    question = call.question
    start = time.perf_counter()
    # A kept answer would hide what happens to those that are generated.
    headers = {
        "Authorization": f"Bearer {target.key}",
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
    }
    data = orjson.dumps(question.body(target.model))
    url = f"{target.url}/chat/completions"
    answered = False
    try:
        async with session.post(url, data=data, headers=headers) as response:
            answered = True
            call.request_id = response.headers.get("x-request-id", "")
            call.attempts = int(response.headers.get("x-r1-attempts", 0))
            if response.status != 200:
                call.ending = f"http {response.status}"
                call.message = (await response.text())[:200]
            elif question.stream:
                await _read(response, call, start)
            else:
                _take_whole(await response.json(loads=orjson.loads), call.answer)
    except TimeoutError as error:
        call.ending, call.message = LATE, _line(error)
    except (aiohttp.ClientError, OSError) as error:
        call.ending, call.message = LOST if answered else REFUSED, _line(error)
    except (ValueError, LookupError, TypeError) as error:
        call.ending, call.message = BROKEN, _line(error)
    call.duration = time.perf_counter() - start
    return call


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


async def _read(response: aiohttp.ClientResponse, call: Call, start: float) -> None:
    call.ending = CUT
    last = start
    async for line in response.content:
        if not line.startswith(b"data: "):
            continue
        if line.startswith(b"data: [DONE]"):
            call.ending = DONE
            continue
        event = orjson.loads(line[6:])
        if "error" in event:
            call.ending, call.message = ERROR, str(event["error"])[:200]
            return
        if _take_chunk(event, call.answer):
            now = time.perf_counter()
            if call.ttft is None:
                call.ttft = now - start
            elif now - last > call.gap:
                call.gap, call.gap_end = now - last, now - start
            last = now


def _take_chunk(event: dict[str, Any], answer: Answer) -> bool:
    """Add a stream's event to the answer; whether it carried text."""
    if event.get("usage"):
        _take_usage(event["usage"], answer)
    texts = False
    for choice in event["choices"]:
        delta = choice["delta"]
        reasoning = _reasoning(delta)
        content = delta.get("content") or ""
        answer.reasoning += reasoning
        answer.content += content
        answer.finish = choice.get("finish_reason") or answer.finish
        texts = texts or bool(reasoning or content)
    return texts


def _take_whole(body: dict[str, Any], answer: Answer) -> None:
    (choice,) = body["choices"]
    answer.reasoning = _reasoning(choice["message"])
    answer.content = choice["message"].get("content") or ""
    answer.finish = choice["finish_reason"]
    _take_usage(body["usage"], answer)


def _reasoning(part: dict[str, Any]) -> str:
    """Under the gateway's name or vLLM's."""
    return part.get("reasoning_content") or part.get("reasoning") or ""


def _take_usage(usage: dict[str, Any], answer: Answer) -> None:
    answer.prompt_tokens = usage["prompt_tokens"]
    answer.completion_tokens = usage["completion_tokens"]
    details = usage.get("completion_tokens_details") or {}
    answer.reasoning_tokens = details.get("reasoning_tokens") or 0
