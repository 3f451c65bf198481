"""What a simulated engine says: token ids, chat template, and answers that are known beforehand.

Tokens are bytes (id = byte + 10) and a few marks. An answer depends on nothing but the text up to
the opened think block, so an answer that is cut and continued from its own tokens goes on as it
would have gone on. Sampled without a seed it also depends on chance.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

BOS, EOS, THINK, END_THINK, USER, ASSISTANT, SYSTEM = range(7)
FIRST_BYTE = 10
_MARKS = {"<think>": THINK, "</think>": END_THINK, "<｜Assistant｜>": ASSISTANT}
_SPECIAL = {"<｜begin▁of▁sentence｜>": BOS, "<｜end▁of▁sentence｜>": EOS}
_TOKENS = _MARKS | _SPECIAL
_SPELLED = {token: text.encode() for text, token in _MARKS.items()}
_WRITTEN = {token: text.encode() for text, token in _TOKENS.items()}
_MARK = re.compile("(" + "|".join(_TOKENS) + ")")
_NEWLINE = FIRST_BYTE + ord("\n")
_NOISE_SIZE = 1 << 16
_ROUNDS = 10_000  # of an answer that loops; its limit ends it


@dataclass(frozen=True)
class Manner:
    """What is said: fixed texts, or as many tokens of made-up words as are asked for."""

    reasoning: str | None = None
    content: str | None = None
    reasoning_tokens: int = 120
    content_tokens: int = 40
    loops: bool = False  # the content comes again and again


@dataclass(frozen=True)
class Answer:
    """The whole answer of one choice, cut where its limit or a stop text ends it."""

    ids: list[int]
    finish: str
    stop: str | None = None


def encode(text: str) -> list[int]:
    """Token ids of a text."""
    ids: list[int] = []
    for part in _MARK.split(text):
        mark = _TOKENS.get(part)
        ids += [byte + FIRST_BYTE for byte in part.encode()] if mark is None else [mark]
    return ids


def spell(token: int) -> bytes:
    """UTF-8 of one token: a byte, or the name of a think mark; other marks have none."""
    if token >= FIRST_BYTE:
        return bytes((token - FIRST_BYTE,))
    return _SPELLED.get(token, b"")


def decode(ids: Sequence[int]) -> str:
    """The text of tokens; half characters become replacement marks."""
    return b"".join(map(spell, ids)).decode(errors="replace")


def written(ids: Sequence[int]) -> str:
    """The same as /detokenize has it, which leaves out no special token."""
    return b"".join(_WRITTEN.get(each) or spell(each) for each in ids).decode(errors="replace")


def prompt_of(
    messages: Sequence[dict[str, Any]], *, thinking: bool = True, goes_on: bool = False
) -> list[int]:
    """Chat template: R1's, the think block opened, or closed at once where it is not wanted.

    `goes_on`: the last message is not closed, and the answer continues it.
    """
    ids = [BOS]
    roles = {"user": USER, "assistant": ASSISTANT}
    for message in messages:
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        if message["role"] == "assistant":
            content = content.split("</think>")[-1]
        ids += [roles.get(message["role"], SYSTEM), *encode(content)]
    if goes_on:
        return ids
    return [*ids, ASSISTANT, *((THINK, _NEWLINE) if thinking else (END_THINK,))]


def noise(seed: int) -> list[int]:
    """65,536 tokens of made-up words, from which answers are cut."""
    rng = random.Random(seed)
    text = bytearray()
    while len(text) < _NOISE_SIZE:
        text += bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) + b" "
    return [byte + FIRST_BYTE for byte in text[:_NOISE_SIZE]]


def answer(
    prompt: Sequence[int],
    manner: Manner,
    words: Sequence[int],
    *,
    limit: int,
    nonce: int = 0,
    stops: Sequence[str] = (),
    ignore_eos: bool = False,
    budget: int | None = None,
) -> Answer:
    """The rest of the answer to a prompt, which may hold the beginning of that answer.

    Args:
        prompt: token ids.
        manner: what is said.
        words: of `noise`.
        limit: most tokens of the rest.
        nonce: chance; the same prompt and nonce give the same answer.
        stops: texts that end the answer and are no part of it.
        ignore_eos: goes on with words up to the limit, behind the token that would end it.
        budget: most tokens of the think block, those that the prompt has in it included.
    """
    root, said = _root(prompt)
    # The hash of a tuple of integers is the same in every process.
    seed = (hash(tuple(root)) ^ nonce) & 0xFFFFFFFF
    script = _script(root, manner, words, seed, budget)
    if ignore_eos:
        script += _cut(words, seed + 2, max(0, said + limit - len(script)))
    rest = script[said:] or [EOS]
    kept, stop = _stopped(rest, stops)
    if stop is not None and kept <= limit:
        return Answer(rest[:kept] or [EOS], "stop", stop)
    return Answer(rest[:limit], "stop" if len(rest) <= limit and not ignore_eos else "length")


def _stopped(ids: Sequence[int], stops: Sequence[str]) -> tuple[int, str | None]:
    """How many tokens come before the first stop text, and which one it is."""
    pieces = [spell(each) for each in ids]
    text = b"".join(pieces)
    found = [(text.find(stop.encode()), stop) for stop in stops if stop and stop.encode() in text]
    if not found:
        return len(ids), None
    place, stop = min(found)
    length = kept = 0
    while length < place:
        length += len(pieces[kept])
        kept += 1
    return kept, stop


def _root(prompt: Sequence[int]) -> tuple[Sequence[int], int]:
    """The prompt up to the start of the answer, and how many tokens of it are said already."""
    for place in range(len(prompt) - 2, 0, -1):
        if prompt[place] == ASSISTANT:
            opened = prompt[place + 1] == THINK and prompt[place + 2 : place + 3] == [_NEWLINE]
            closed = prompt[place + 1] == END_THINK
            start = place + 1 + (2 if opened else closed)
            return prompt[:start], len(prompt) - start
    return prompt, 0


def _script(
    root: Sequence[int], manner: Manner, words: Sequence[int], seed: int, budget: int | None
) -> list[int]:
    """Reasoning (if the think block is open), mark, content and end."""
    script: list[int] = []
    if THINK in root:
        if manner.reasoning is None:
            script += _cut(words, seed, manner.reasoning_tokens)
        else:
            script += encode(manner.reasoning)
        if budget is not None:
            opened = len(root) - max(place for place, each in enumerate(root) if each == THINK) - 1
            script = script[: max(0, budget - opened)]
        script.append(END_THINK)
    if manner.content is None:
        content = _cut(words, seed + 1, manner.content_tokens)
    else:
        content = encode(manner.content)
    return [*script, *content * (_ROUNDS if manner.loops else 1), EOS]


def _cut(words: Sequence[int], seed: int, count: int) -> list[int]:
    start = seed * 2654435761 % len(words)
    rounds = (start + count) // len(words)
    if not rounds:
        return list(words[start : start + count])
    return [words[(start + i) % len(words)] for i in range(count)]
