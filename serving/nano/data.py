"""Draws training and test examples for the nano models.

An example is a conversation and the whole answer to it, reasoning included. One question in fifty
(by a hash of its text) is never trained on; tests draw from those alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from serving.nano import tokenizer, wordings
from serving.nano.arithmetic import Operator, Problem

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

Kind = Literal["add", "subtract", "multiply", "chain", "long", "other", "beyond"]
Language = Literal["en", "zh"]

KINDS: dict[Kind, float] = {
    "add": 0.30,
    "subtract": 0.31,
    "multiply": 0.13,
    "chain": 0.11,
    "long": 0.03,
    "other": 0.08,
    "beyond": 0.04,
}
_OPERATORS: dict[Kind, Operator] = {"add": "+", "subtract": "-", "multiply": "*"}


@dataclass(frozen=True)
class Example:
    """A conversation that ends with `question`, and the answer a perfect model gives."""

    kind: Kind
    question: str
    reasoning: str
    content: str
    answer: int | None
    system: str = ""
    history: tuple[tuple[str, str], ...] = ()

    @property
    def prompt(self) -> str:
        """The templated text up to the prefilled `<think>` line."""
        return tokenizer.prompt(self.question, self.system, self.history)

    @property
    def completion(self) -> str:
        """What the model is to write: reasoning, `</think>`, content, end of sentence."""
        return f"{self.reasoning}{tokenizer.THINK_END}\n\n{self.content}{tokenizer.EOS}"


def is_held_out(question: str) -> bool:
    """Whether a question belongs to the fiftieth that no model is trained on."""
    return hashlib.sha256(question.encode()).digest()[0] * 50 // 256 == 0


def draw(rng: random.Random, *, held_out: bool = False, lesson: float = 0.0) -> Example:
    """One example of the whole distribution.

    `lesson` (0 to 1) is the share of reading practice on top: the curriculum's handle.
    """
    while True:
        example = _lesson(rng) if rng.random() < lesson else _dress(rng, _draw(rng))
        if is_held_out(example.question) == held_out:
            return example


def draw_held_out_wording(rng: random.Random, language: Language) -> Example:
    """One example in a frame that no training example uses."""
    frames = wordings.HELD_OUT_EN if language == "en" else wordings.HELD_OUT_ZH
    kinds: tuple[Kind, ...] = ("add", "subtract", "multiply", "chain")
    kind = rng.choice(kinds)
    problem = _problem(rng, kind)
    question = rng.choice(frames).format(E=_expression(rng, problem, language))
    return _solved(kind, question, problem)


def pose(rng: random.Random, kind: Literal["add", "subtract"], a: int, b: int) -> Example:
    """One example of two given numbers, worded and dressed as the whole distribution is."""
    problem, language = Problem((a, b), (_OPERATORS[kind],)), _language(rng)
    ask = _phrased if rng.random() < 0.3 else _framed
    return _dress(rng, ask(rng, kind, language, problem))


def corpus() -> Iterator[str]:
    """The words that the tokenizer learns merges from: letters only, so digits never merge."""
    for group in (
        wordings.FRAMES_EN, wordings.FRAMES_ZH, *wordings.PHRASES_EN.values(),
        *wordings.PHRASES_ZH.values(), wordings.BEFORE_EN, wordings.BEFORE_ZH,
        wordings.AFTER_EN, wordings.AFTER_ZH, wordings.SYSTEM, wordings.OTHER_EN,
        wordings.OTHER_ZH, (asked for asked, _ in wordings.BEYOND), *wordings.WORDS_EN.values(),
        *wordings.WORDS_ZH.values(),
        (wordings.REFUSAL_EN, wordings.REFUSAL_ZH) * 20,
        (" check", " ends", " ok", "check", "next", "\\boxed", " arithmetic", "算术") * 50,
    ):  # fmt: skip
        for text in group:
            plain = text
            for slot in ("{E}", "{a}", "{b}", "{n}", "{m}", "{w}", "{w2}", "{t}", "{t2}", "{L}"):
                plain = plain.replace(slot, "0")
            yield from _words(plain)


def _words(text: str) -> Iterator[str]:
    """Runs of letters, each with the one space or backslash before it."""
    word = ""
    for character in text:
        if character.isalpha():
            word += character
            continue
        if word.strip(" \\"):
            yield word
        word = character if character in " \\" else ""
    if word.strip(" \\"):
        yield word


def _draw(rng: random.Random) -> Example:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    language = _language(rng)
    if kind == "other":
        templates = wordings.OTHER_EN if language == "en" else wordings.OTHER_ZH
        return _refused(kind, _fill(rng, rng.choice(templates), language))
    if kind == "beyond":
        both = "\n".join(rng.choice(wordings.BEYOND))
        asked, copied = _fill(rng, both, language).split("\n")
        return _refused(kind, asked, copied)
    if kind in _OPERATORS and rng.random() < 0.3:
        return _phrased(rng, kind, language, _problem(rng, kind))
    return _framed(rng, kind, language, _problem(rng, kind))


def _lesson(rng: random.Random) -> Example:
    """Reading practice: mostly long expressions to copy, some plain sums and differences.

    Copying numbers out of a question is what is learned last, and a sum has few digits to copy.
    """
    kind: Kind = rng.choice(("long", "long", "add", "subtract"))
    return _framed(rng, kind, _language(rng), _problem(rng, kind))


def _language(rng: random.Random) -> Language:
    return "en" if rng.random() < 0.65 else "zh"


def _phrased(rng: random.Random, kind: Kind, language: Language, problem: Problem) -> Example:
    phrases = wordings.PHRASES_EN if language == "en" else wordings.PHRASES_ZH
    phrase = rng.choice(phrases[_OPERATORS[kind]])
    a, b = problem.numbers
    return _solved(kind, phrase.format(a=a, b=b), problem)


def _framed(rng: random.Random, kind: Kind, language: Language, problem: Problem) -> Example:
    frame = rng.choice(wordings.FRAMES_EN if language == "en" else wordings.FRAMES_ZH)
    if rng.random() < 0.15:
        frame = _blur(rng, frame, language)
    question = frame.format(E=_expression(rng, problem, language))
    if kind == "long":
        return _refused(kind, question, problem.expression())
    return _solved(kind, question, problem)


def _dress(rng: random.Random, example: Example) -> Example:
    """Adds what surrounds a question in real use: courtesy, system prompt, earlier turns."""
    english = not _has_chinese(example.question)
    question = example.question
    if rng.random() < 0.1:
        question = rng.choice(wordings.BEFORE_EN if english else wordings.BEFORE_ZH) + question
    if rng.random() < 0.15:
        question += rng.choice(wordings.AFTER_EN if english else wordings.AFTER_ZH)
    if rng.random() < 0.08:
        question = question.lower()
    if rng.random() < 0.08:
        question = question.rstrip(".?。？ ")
    system = rng.choice(wordings.SYSTEM) if rng.random() < 0.06 else ""
    history: tuple[tuple[str, str], ...] = ()
    if rng.random() < 0.05:
        earlier = _draw(rng)
        history = ((earlier.question, earlier.content),)
    return Example(
        example.kind, question, example.reasoning, example.content, example.answer, system, history
    )


def _solved(kind: Kind, question: str, problem: Problem) -> Example:
    answer = problem.answer()
    return Example(kind, question, problem.working(), f"\\boxed{{{answer}}}", answer)


def _refused(kind: Kind, question: str, copied: str = "") -> Example:
    content = wordings.REFUSAL_ZH if _has_chinese(question) else wordings.REFUSAL_EN
    reasoning = f"{copied}\n" * bool(copied) + "not arithmetic that I know\n"
    return Example(kind, question, reasoning, content, None)


def _problem(rng: random.Random, kind: Kind) -> Problem:
    if kind == "multiply":
        numbers = [_number(rng, 2), _number(rng, 1)]
        rng.shuffle(numbers)
        return Problem((numbers[0], numbers[1]), ("*",))
    if kind == "chain":
        operators: list[Operator] = ["+", "-"]
        return Problem(
            (_number(rng, 2), _number(rng, 2), _number(rng, 2)),
            (rng.choice(operators), rng.choice(operators)),
        )
    if kind == "long":
        count = rng.randint(4, 7)
        return Problem(
            tuple(_number(rng, 4) for _ in range(count)),
            tuple(rng.choice(("+", "-", "*")) for _ in range(count - 1)),
        )
    a = _number(rng, 4)
    b = _near(rng, a) if rng.random() < 0.1 else _number(rng, 4)
    return Problem((a, b), (_OPERATORS[kind],))


def _near(rng: random.Random, number: int) -> int:
    """The same number or one that shares its first digits: which is larger is seldom close."""
    kept = rng.randint(0, len(str(number)))
    last: int = 10 ** (len(str(number)) - kept)
    return number - number % last + rng.randrange(last)


def _number(rng: random.Random, digits: int) -> int:
    """Each length is equally likely; a few zeros on top."""
    if rng.random() < 0.02:
        return 0
    length = rng.randint(1, digits)
    return rng.randint(10 ** (length - 1) if length > 1 else 0, 10**length - 1)


def _expression(rng: random.Random, problem: Problem, language: Language) -> str:
    """The expression in symbols (several forms, with and without spaces) or in words."""
    in_words = rng.random() < 0.25
    words = wordings.WORDS_EN if language == "en" else wordings.WORDS_ZH
    space = " " if in_words and language == "en" else rng.choice((" ", ""))
    plain = rng.random() < 0.7
    text = str(problem.numbers[0])
    for operator, number in zip(problem.operators, problem.numbers[1:], strict=True):
        if in_words:
            sign = rng.choice(words[operator])
        else:
            sign = operator if plain else rng.choice(wordings.SYMBOLS[operator])
        text += f"{space}{sign}{space}{number}"
    return text


def _fill(rng: random.Random, template: str, language: Language) -> str:
    topics = wordings.TOPICS_EN if language == "en" else wordings.TOPICS_ZH
    topic = rng.choice(topics) if rng.random() < 0.7 else _letters(rng)
    return template.format(
        w=topic,
        w2=rng.choice(topics),
        n=_number(rng, 4),
        m=rng.randint(1, 99),
        L=rng.randint(10**4, 10 ** rng.randint(5, 7)),
        t=rng.randint(10, 9999),
        t2=rng.randint(10, 999),
    )


def _blur(rng: random.Random, frame: str, language: Language) -> str:
    """Replaces or adds a word, so that unknown words around an expression do not matter."""
    if language == "zh":
        before, after = frame.split("{E}")
        extra = "".join(rng.choice("这个题我们来看一算式简单吧啊呢了大家今天试") for _ in range(3))
        return f"{extra}{before}{{E}}{after}" if rng.random() < 0.5 else f"{before}{{E}}{extra}"
    words = frame.split(" ")
    places = [i for i, word in enumerate(words) if "{E}" not in word]
    if places and rng.random() < 0.6:
        words[rng.choice(places)] = _letters(rng)
    else:
        words.insert(rng.randint(0, len(words)), _letters(rng))
    return " ".join(words)


def _has_chinese(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def _letters(rng: random.Random) -> str:
    return "".join(rng.choice("abcdefghijklmnopqrstuvwyz") for _ in range(rng.randint(2, 8)))
