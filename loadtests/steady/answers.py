"""What a caller got, and in what it differs from the same answer undisturbed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SHOWN = 24
"""Characters of a differing text that a report shows."""


@dataclass
class Answer:
    """The parts of an answer; counts are of tokens."""

    reasoning: str = ""
    content: str = ""
    finish: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


def text_fault(got: str, expected: str) -> str | None:
    """What happened to a text: lost, doubled or other characters, and where; None if nothing.

    A piece counts as doubled if it repeats what stands right before it.
    """
    if got == expected:
        return None
    head = _shared(got, expected)
    tail = _shared(got[head:][::-1], expected[head:][::-1])
    came, missing = got[head : len(got) - tail], expected[head : len(expected) - tail]
    if not came:
        return f"lost {len(missing)} characters at {head}: {missing[:SHOWN]!r}"
    if missing:
        return f"other text at {head}: {came[:SHOWN]!r}, not {missing[:SHOWN]!r}"
    what = "doubled" if got[:head].endswith(came) else "added"
    return f"{what} {len(came)} characters at {head}: {came[:SHOWN]!r}"


def faults(got: Answer, expected: Answer) -> list[str]:
    """In what an answer differs from the expected one."""
    texts = {
        "reasoning": text_fault(got.reasoning, expected.reasoning),
        "content": text_fault(got.content, expected.content),
    }
    found = [f"{name}: {fault}" for name, fault in texts.items() if fault is not None]
    for name in ("finish", "prompt_tokens", "completion_tokens", "reasoning_tokens"):
        mine, theirs = getattr(got, name), getattr(expected, name)
        if mine != theirs:
            found.append(f"{name}: {mine!r}, not {theirs!r}")
    return found


def count_faults(got: Answer, expected: Answer) -> list[str]:
    """The same for models whose text may differ from run to run: the lengths alone."""
    pairs = {
        "finish": (got.finish, expected.finish),
        "completion_tokens": (got.completion_tokens, expected.completion_tokens),
    }
    return [f"{name}: {a!r}, not {b!r}" for name, (a, b) in pairs.items() if a != b]


def _shared(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
