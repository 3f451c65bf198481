"""People who ask: how many, how often, what, and how long they wait. All of it by seed.

What a person asks does not depend on when, nor on what became of earlier questions: gateways that
are compared are asked the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from r1.fleet.scenarios import Length

_TURNS = 4
"""Questions of a conversation."""
_TEXTS = 2000
"""That a tenant has classified; a few of them make most of it."""
_SYSTEM, _TURN = 300, 700
"""Tokens before a conversation's first question, and those that a turn adds to the next prompt:
the question and the answer without its reasoning."""


@dataclass(frozen=True)
class Sort:
    """A sort of question and its share of all."""

    name: str
    share: float
    question: Length
    answer: Length


SORTS = (
    Sort("chat", 0.6, Length(150, 0.8, 4000), Length(900, 0.7, 8192)),
    Sort("reasoning", 0.3, Length(400, 0.8, 8000), Length(2500, 0.6, 16384)),
    Sort("short", 0.1, Length(300, 0.5, 2000), Length(40, 0.6, 200)),
)
"""Chats and short classifications, with reasoning in between: 1,600 tokens an answer."""


@dataclass(frozen=True)
class People:
    """Who asks, how often, and what they put up with. Times in seconds."""

    users: int
    think_s: float = 480.0
    """Mean time from an answer's end to the next question."""
    tenants: int = 20
    ttft_s: float = 10.0
    """Until the first token: an answer that is slower is no good."""
    tpot_s: float = 0.05
    """A token, on average over the answer: the same."""
    patience_s: float = 60.0
    """Who has no token by then leaves."""
    repeats: int = 2
    """Of a request, by the client's library: OpenAI's own does two."""
    turns: int = _TURNS


@dataclass(frozen=True)
class Crowd:
    """Many requests at once, or at a rate, beside the people's own.

    `same`: all have one text and temperature 0, so that one answer does for all; otherwise each
    has its own. They come evenly over `over_s` from `at_s` on, with the key of `tenant`.
    """

    requests: int
    at_s: float
    over_s: float
    tenant: str
    same: bool


@dataclass(frozen=True, slots=True)
class Question:
    """One request. Lengths in tokens; `text` tells conversations apart, and equal questions."""

    sort: str
    tenant: str
    text: str
    prompt: int
    answer: int
    conversation: int
    greedy: bool = False


def question(people: People, seed: int, user: int, turn: int) -> Question:
    """What a user asks at their `turn`."""
    chance = random.Random(f"{seed} {user} {turn}")
    (sort,) = chance.choices(SORTS, [each.share for each in SORTS])
    asked, answer = sort.question.draw(chance), sort.answer.draw(chance)
    tenant = _tenant(user % people.tenants)
    if sort.name == "short":
        return _short(tenant, seed, int(_TEXTS * chance.random() ** 3))
    number, place = divmod(turn, people.turns)
    prompt = _SYSTEM + place * _TURN + asked
    conversation = _one(user, number)
    return Question(sort.name, tenant, f"{seed} c{conversation}", prompt, answer, conversation)


def of_crowd(crowd: Crowd, seed: int, number: int) -> Question:
    """The request of a crowd's `number`."""
    if crowd.same:
        return Question("crowd", crowd.tenant, f"{seed} the same", 800, 600, 0, greedy=True)
    chance = random.Random(f"{seed} crowd {number}")
    answer = SORTS[0].answer.draw(chance)
    asked = _SYSTEM + SORTS[0].question.draw(chance)
    return Question("crowd", crowd.tenant, f"{seed} n{number}", asked, answer, -number - 1)


@lru_cache(maxsize=1 << 16)
def _short(tenant: str, seed: int, number: int) -> Question:
    """One of the texts that a tenant has classified again and again, at temperature 0."""
    text = f"{seed} {tenant} short {number}"
    chance, sort = random.Random(text), SORTS[2]
    asked, answer = sort.question.draw(chance), sort.answer.draw(chance)
    return Question(sort.name, tenant, text, asked, answer, 0, greedy=True)


def _one(user: int, number: int) -> int:
    return user * 1_000_000 + number + 1


@lru_cache(maxsize=1024)
def _tenant(number: int) -> str:
    return f"tenant-{number}"
