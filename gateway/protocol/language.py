"""Does an answer mix languages? R1-Zero and, more rarely, R1 fall into another one. Pure.

A question in one script that is answered partly in another is what can be told without a model:
Chinese characters in the answer to an English question, English sentences in the answer to a
Chinese one. Formulas are no language: LaTeX commands and words of one or two letters don't count.
"""

from __future__ import annotations

import re

_SCRIPTS = {
    "latin": re.compile(r"(?<![\\\w])[A-Za-zÀ-ɏ]{3,}"),
    "cyrillic": re.compile(r"[Ѐ-ӿ]{2,}"),
    "arabic": re.compile(r"[؀-ۿ]{2,}"),
    # A character is as much as a word of the others.
    "east_asian": re.compile(r"[぀-ヿ㐀-鿿가-힣]"),
}
_LEAST = 3
"""Foreign words that a short answer may have: names, terms."""


def words(text: str) -> dict[str, int]:
    """How many words each script has in a text; scripts without any are left out."""
    counts: dict[str, int] = {}
    for script, pattern in _SCRIPTS.items():
        if script != "latin" and text.isascii():
            continue
        count = sum(1 for _ in pattern.finditer(text))
        if count:
            counts[script] = count
    return counts


def is_mixed(prompt: str, answer: str, share: float) -> bool:
    """Whether more than `share` of the answer's words are in scripts that the prompt has not.

    A prompt without words (numbers only) allows everything.
    """
    asked = words(prompt)
    said = words(answer)
    if not asked:
        return False
    foreign = sum(count for script, count in said.items() if script not in asked)
    return foreign > _LEAST and foreign > share * sum(said.values())
