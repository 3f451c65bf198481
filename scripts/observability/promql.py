"""What a PromQL expression asks for: the selectors in it. Enough of the grammar for our own."""

from __future__ import annotations

import re

_STRING = r'"(?:[^"\\]|\\.)*"'
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_MATCHERS = rf'\{{(?:[^{{}}"]|{_STRING})*\}}'
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
# Strings, durations and numbers are passed over whole; a name before a parenthesis is a function.
_TOKEN = re.compile(
    rf"{_STRING}|\[[^\]]*\]|\d[\w.+-]*|{_NAME}\s*\("
    rf"|(?P<selector>(?:{_NAME})?\s*{_MATCHERS}|{_NAME})"
)
_WORDS = frozenset(
    ("and", "or", "unless", "bool", "offset", "inf", "nan", "group_left", "group_right")
)


def selectors(expr: str) -> list[str]:
    """Return each series that an expression reads, with its matchers, in order and once.

    Functions, labels of a grouping, durations and strings are no series.
    """
    bare = _GROUPING.sub(" ", expr)
    found = [token["selector"] for token in _TOKEN.finditer(bare) if token["selector"]]
    return [each for each in dict.fromkeys(found) if each.lower() not in _WORDS]


def metric(selector: str) -> str:
    """Return the name in a selector; "" where it has only matchers."""
    return selector.partition("{")[0].strip()
