"""How large the grammars, schemas and patterns may be that an answer is held to. Pure.

The engine compiles them before the first token, for all its callers: `(a{999}){999}` is short to
send and a million states to build.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.errors import InvalidRequest
from gateway.settings import Bounds

# Under all names that the APIs and model servers have for them.
_FIELDS = (
    "response_format",
    "structured_outputs",
    "text",
    "output_config",
    "output_format",
    "json_schema",
    "grammar",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "guided_whitespace_pattern",
)
_PATTERNS = {
    "pattern",
    "regex",
    "guided_regex",
    "whitespace_pattern",
    "guided_whitespace_pattern",
}
_NESTED_JSON = {"json", "structural_tag", "guided_json", "json_schema"}
_LITERAL = {"enum", "const", "default", "examples"}


def check_structures(body: dict[str, Any], bounds: Bounds) -> None:
    """Raises InvalidRequest, naming the field."""
    for name in _FIELDS:
        if body.get(name) is not None:
            _check(name, body[name], bounds)
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        _check(f"tools[{index}]", tool, bounds)


def _check(field: str, value: Any, bounds: Bounds) -> None:
    size = len(orjson.dumps(value))
    if size > bounds.schema_bytes:
        raise InvalidRequest(
            f"'{field}' has {size} bytes; at most {bounds.schema_bytes} are allowed here "
            "(bounds.schema_bytes).",
            param=field,
        )
    name = field.partition("[")[0]
    for place, key, text in _texts(field, name, value):
        if key == "$ref" and not text.startswith("#"):
            raise InvalidRequest(
                f"'{place}' must point into its own schema: nothing is fetched.", param=place
            )
        if key in _PATTERNS and states(text, bounds.pattern_states) > bounds.pattern_states:
            raise InvalidRequest(
                f"'{place}' is too large a pattern with its repetitions written out; at most "
                f"{bounds.pattern_states} characters are allowed here (bounds.pattern_states).",
                param=place,
            )


def _texts(field: str, name: str, value: Any) -> Iterator[tuple[str, str, str]]:
    """Each text in a value: its place, the name that it stands under, itself."""
    if isinstance(value, str):
        yield field, name, value
        if name in _NESTED_JSON:
            yield from _texts(field, "", _parsed(value))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _texts(f"{field}[{index}]", "", each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key == "patternProperties" and isinstance(each, dict):
                for pattern in each:
                    yield f"{field}.{key}", "pattern", pattern
            if key not in _LITERAL:
                yield from _texts(f"{field}.{key}", key, each)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # The engine says what is wrong with it.
        return None


def states(pattern: str, most: float = math.inf) -> float:
    """About how many characters a regular expression has with its repetitions written out.

    Stops counting above `most`. What isn't a regular expression has some number too.
    """
    sums, last = [0.0], 0.0
    at = 0
    while at < len(pattern) and sums[-1] + last <= most:
        mark = pattern[at]
        at += 1
        if mark == "{" and (counted := _repetition(pattern, at)) is not None:
            times, at = counted
            last *= times
        elif mark == "+":
            last *= 2
        elif mark in "*?":
            continue
        elif mark == "(":
            sums[-1] += last
            sums.append(0.0)
            last = 0.0
        elif mark == ")" and len(sums) > 1:
            last += sums.pop()
        else:
            sums[-1] += last
            last = 1.0
            if mark == "\\":
                at += 1
            elif mark == "[":
                at = _end_of_class(pattern, at)
    return sum(sums) + last


def _repetition(pattern: str, at: int) -> tuple[float, int] | None:
    """How often the `{…}` that begins before `at` repeats at most, and where it ends."""
    end = pattern.find("}", at, at + 32)
    low, comma, high = pattern[at:end].partition(",")
    if end < 0 or not (low + high).isdecimal():
        return None
    return max(1.0, float(high or low) + bool(comma and not high)), end + 1


def _end_of_class(pattern: str, at: int) -> int:
    """Behind the `]` of the class that begins before `at`."""
    at += pattern.startswith("^", at)
    at += pattern.startswith("]", at)
    while at < len(pattern) and pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1
