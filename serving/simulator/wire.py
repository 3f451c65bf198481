"""vLLM 0.29's bodies and stream events: which keys there are, which are null, in which order.

The shapes follow vllm/entrypoints/openai/{chat_completion,completion}/serving.py of vLLM 0.29.0:
the extra event for a lone `</think>` when token ids are asked for, the usage event at the end, the
error event that is followed by `[DONE]`. tests/integration compares them with the real server's.
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving.simulator.answers import END_THINK, FIRST_BYTE, THINK, decode, spell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.simulator.answers import Answer

VERSION = "0.29.0"
FINGERPRINT = f"vllm-{VERSION}"
DONE = b"data: [DONE]\n\n"
BROKEN = (
    b'data: {"error": {"message": "secret internals", "type": "InternalServerError", '
    b'"param": null, "code": 500}}\n\n'
)
_LOGPROB = -0.5
_ASCII = [json.dumps(chr(byte)).encode() for byte in range(128)]


@dataclass(frozen=True)
class Asked:
    """What of a request decides its answer's form."""

    chat: bool
    model: str
    id: str
    created: int
    prompt: list[int]
    wants_ids: bool
    wants_usage: bool
    logprobs: int | None = None  # alternatives of each token that are told
    prompt_logprobs: int | None = None  # the same for the prompt
    names_ids: bool = False  # log-probabilities name tokens by their ids
    drift: float = 0.0  # nats by which log-probabilities are wrong
    echo: bool = False  # the prompt comes before the answer
    tool: str | None = None  # the answer is a call of this tool
    goes_on: bool = False  # the answer continues the last message

    @property
    def reasons(self) -> bool:
        """Whether vLLM's parser takes the answer's beginning for reasoning.

        It does so in a think block, and for each answer that goes on from a message.
        """
        return self.chat and (self.goes_on or THINK in self.prompt[-2:])

    def head(self) -> dict[str, Any]:
        """The first keys of every body."""
        whole = "chat.completion" if self.chat else "text_completion"
        return {"id": self.id, "object": whole, "created": self.created, "model": self.model}


def event(data: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def usage_of(asked: Asked, completion: int, cached: int, *, streamed: bool) -> dict[str, Any]:
    """vLLM's usage: with a prefilled think block its reasoning count is always 0.

    In events null fields are left out, in whole bodies they are not.
    """
    prompt = len(asked.prompt)
    details: dict[str, int | None] = {"cached_tokens": cached}
    details["created_cache_tokens"] = 0 if asked.chat else None
    details["multimodal_tokens"] = None
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": 0} if asked.chat else None,
    }
    if streamed:
        given = {name: count for name, count in details.items() if count is not None}
        usage["prompt_tokens_details"] = given
        return {name: value for name, value in usage.items() if value is not None}
    return usage


class Events:
    """The events of one choice, made from its tokens."""

    def __init__(self, asked: Asked, choice: int, answer: Answer, per_event: int) -> None:
        self._asked = asked
        self._answer = answer
        self._choice = choice
        self._per_event = per_event
        self._reasoning = asked.reasons
        self._text = codecs.getincrementaldecoder("utf-8")(errors="replace")
        head = asked.head()
        head["object"] = "chat.completion.chunk" if asked.chat else "text_completion"
        start = json.dumps(head, separators=(",", ":"))[:-1]
        opened = '"delta":{"%s":' if asked.chat else '"%s":'
        begin = f'data: {start},"choices":[{{"index":{choice},{opened}'
        self._heads = {
            field: (begin % field).encode() for field in ("reasoning", "content", "text")
        }
        self._tail = b'},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n'
        if not asked.chat:
            self._tail = (
                b',"logprobs":null,"finish_reason":null,"stop_reason":null,'
                b'"prompt_token_ids":null,"token_ids":null}]}\n\n'
            )
        self._plain = (
            not asked.wants_ids and per_event == 1 and asked.logprobs is None and asked.tool is None
        )
        self._called = False
        self._rest: list[int] = []
        self._first = True

    def of(self, ids: list[int], *, last: bool) -> list[bytes]:
        """The events of the next tokens."""
        if self._plain and not last and not self._rest:
            return self._plainly(ids)
        ids = self._rest + ids
        made = []
        while len(ids) >= self._per_event or (last and ids):
            part, ids = ids[: self._per_event], ids[self._per_event :]
            one = self._one(part, last=last and not ids)
            if one is not None:
                made.append(one)
        self._rest = ids
        return made

    def opening(self) -> bytes | None:
        """A chat's first event, with the role."""
        if not self._asked.chat:
            return None
        head = {**self._asked.head(), "object": "chat.completion.chunk"}
        delta = {"role": "assistant", "content": ""}
        choice = {"index": self._choice, "delta": delta, "logprobs": None, "finish_reason": None}
        prompt = self._asked.prompt if self._asked.wants_ids else None
        return event({**head, "choices": [choice], "prompt_token_ids": prompt, "prompt_text": None})

    def _plainly(self, ids: list[int]) -> list[bytes]:
        """The hot path: events of one ASCII token each are put together from ready parts."""
        made = []
        tail, chat = self._tail, self._asked.chat
        head = self._heads[("reasoning" if self._reasoning else "content") if chat else "text"]
        for place, token in enumerate(ids):
            byte = token - FIRST_BYTE
            if not 0 <= byte < 128:
                for odd in ids[place:]:
                    one = self._one([odd], last=False)
                    if one is not None:
                        made.append(one)
                return made
            made.append(head + _ASCII[byte] + tail)
        return made

    def _one(self, part: list[int], *, last: bool) -> bytes | None:
        asked, answer = self._asked, self._answer
        finish = finish_of(asked, answer) if last else None
        ids = part if asked.wants_ids else None
        head = asked.head()
        if not asked.chat:
            choice: dict[str, Any] = {"index": self._choice, "text": self._say(part)}
            choice |= {"logprobs": logprobs_of(asked, part), "finish_reason": finish}
            choice["stop_reason"] = answer.stop if last else None
            first, self._first = self._first, False
            choice["prompt_token_ids"] = asked.prompt if first and asked.wants_ids else None
            return event({**head, "choices": [{**choice, "token_ids": ids}]})
        delta = self._delta(part)
        if delta is None and not asked.wants_ids and not last:
            return None
        choice = {"index": self._choice, "delta": delta or {}}
        choice["logprobs"] = logprobs_of(asked, part)
        choice["finish_reason"] = finish
        if last:
            choice["stop_reason"] = answer.stop
        choice["token_ids"] = ids
        return event({**head, "object": "chat.completion.chunk", "choices": [choice]})

    def _delta(self, part: list[int]) -> dict[str, Any] | None:
        """What vLLM's deepseek_r1 parser makes of a piece of the answer."""
        if not self._reasoning:
            return self._speak(self._say(part))
        if END_THINK not in part:
            return {"reasoning": self._say(part)}
        self._reasoning = False
        if part == [END_THINK]:
            return None
        at = part.index(END_THINK)
        before, after = self._say(part[:at]), self._say(part[at + 1 :])
        return {"reasoning": before, **self._speak(after or None)}

    def _speak(self, text: str | None) -> dict[str, Any]:
        """Content, or arguments of the call that the answer is."""
        if self._asked.tool is None or text is None:
            return {"content": text}
        if self._called:
            return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
        self._called = True
        call = tool_call(self._asked, self._choice, self._asked.tool, text)
        return {"tool_calls": [{**call, "index": 0}]}

    def _say(self, ids: Sequence[int]) -> str:
        return self._text.decode(b"".join(map(spell, ids)))


def usage_event(asked: Asked, completion: int, cached: int) -> bytes:
    """The event after the last token, if usage is asked for."""
    head = asked.head()
    if asked.chat:
        head["object"] = "chat.completion.chunk"
    usage = {"choices": [], "usage": usage_of(asked, completion, cached, streamed=True)}
    return event({**head, **usage, "system_fingerprint": FINGERPRINT})


def whole(asked: Asked, answers: Sequence[Answer], cached: int) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    tokens = sum(len(each.ids) for each in answers)
    usage = usage_of(asked, tokens, cached, streamed=False)
    choices = [_choice(asked, place, each) for place, each in enumerate(answers)]
    body = {
        **asked.head(),
        "choices": choices,
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": usage,
    }
    if asked.chat:
        body["prompt_logprobs"] = None
        body["prompt_token_ids"] = asked.prompt if asked.wants_ids else None
        body["prompt_text"] = None
    return {**body, "kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}


def _choice(asked: Asked, place: int, answer: Answer) -> dict[str, Any]:
    ids = answer.ids if asked.wants_ids else None
    if not asked.chat:
        return {
            "index": place,
            "text": decode([*asked.prompt, *answer.ids] if asked.echo else answer.ids),
            "logprobs": logprobs_of(
                asked, [*asked.prompt, *answer.ids] if asked.echo else answer.ids
            ),
            "finish_reason": answer.finish,
            "stop_reason": answer.stop,
            "token_ids": ids,
            "prompt_logprobs": prompt_logprobs_of(asked),
            "prompt_token_ids": asked.prompt if asked.wants_ids else None,
            "routed_experts": None,
        }
    end = -1
    if asked.reasons:
        end = answer.ids.index(END_THINK) if END_THINK in answer.ids else len(answer.ids)
    content = decode(answer.ids[end + 1 :]) or None
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content if asked.tool is None else None,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
    }
    if asked.tool is not None:
        message["tool_calls"] = [tool_call(asked, place, asked.tool, content or "")]
    message["reasoning"] = decode(answer.ids[: max(end, 0)]) if asked.reasons else None
    return {
        "index": place,
        "message": message,
        "logprobs": logprobs_of(asked, answer.ids),
        "finish_reason": finish_of(asked, answer),
        "stop_reason": answer.stop,
        "token_ids": ids,
        "routed_experts": None,
    }


def finish_of(asked: Asked, answer: Answer) -> str:
    """Why an answer ended; one that ends with a tool call ends because of it."""
    return "tool_calls" if asked.tool is not None and answer.finish == "stop" else answer.finish


def tool_call(asked: Asked, choice: int, name: str, arguments: str) -> dict[str, Any]:
    """One call of a tool."""
    function = {"name": name, "arguments": arguments}
    return {"id": f"call-{asked.id}-{choice}", "type": "function", "function": function}


def logprobs_of(asked: Asked, ids: Sequence[int]) -> dict[str, Any] | None:
    """Log-probabilities, all of them made up, in the form of chats or of completions."""
    if asked.logprobs is None:
        return None
    value = _LOGPROB - asked.drift
    tokens = [f"token_id:{token}" if asked.names_ids else decode([token]) for token in ids]
    if not asked.chat:
        return {
            "text_offset": list(range(len(ids))),
            "token_logprobs": [value] * len(ids),
            "tokens": tokens,
            "top_logprobs": [{text: value} for text in tokens],
        }
    content = []
    for text in tokens:
        told = {"token": text, "logprob": value, "bytes": list(text.encode())}
        content.append({**told, "top_logprobs": [told] * min(asked.logprobs, 1)})
    return {"content": content}


def prompt_logprobs_of(asked: Asked) -> list[dict[str, Any] | None] | None:
    """Those of a prompt, made up too; its first token has none."""
    if asked.prompt_logprobs is None:
        return None
    told = [
        {
            str(token): {
                "logprob": _LOGPROB - asked.drift,
                "rank": 1,
                "decoded_token": decode([token]),
            }
        }
        for token in asked.prompt[1:]
    ]
    return [None, *told]


def refusal(message: str, kind: str, status: int, param: str | None = None) -> dict[str, Any]:
    """vLLM's error body."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}
