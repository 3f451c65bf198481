"""Traces of real services: when calls came, and how long their prompts and answers were.

Columns are found by their names, so these are read as they are published:

- Azure's LLM inference traces: TIMESTAMP (a date and time), ContextTokens, GeneratedTokens
- BurstGPT: Timestamp (seconds), Model, Request tokens, Response tokens, …; calls that failed have
  no response tokens and are left out
- Mooncake: timestamp (milliseconds), input_length, output_length and hash_ids (which blocks of 512
  tokens a prompt shares with others), as lines of JSON or as CSV
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

BLOCK = 512
"""Tokens of one of Mooncake's blocks."""
_MOST = 1_000_000


@dataclass(frozen=True)
class Arrival:
    """A call to come, `at` seconds after the first one; lengths in tokens.

    `blocks`: prompts whose lists begin alike begin alike for 512 tokens a block.
    """

    at: float
    prompt: int
    answer: int
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Columns:
    at: str
    prompt: str
    answer: str
    seconds: Callable[[Any], float]


def _date(text: Any) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _milliseconds(text: Any) -> float:
    return float(text) / 1000


_KINDS = (
    _Columns("TIMESTAMP", "ContextTokens", "GeneratedTokens", _date),
    _Columns("Timestamp", "Request tokens", "Response tokens", float),
    _Columns("timestamp", "input_length", "output_length", _milliseconds),
)


def read(path: Path, *, timed: bool = True) -> list[Arrival]:
    """A trace's calls by their time, the first at 0. At most a million.

    Without `timed` the file needs no times, and all calls come at 0.

    Raises:
        OSError: it can't be read.
        ValueError: it is no trace; the message names the line.
    """
    with path.open(encoding="utf-8", newline="") as file:
        return parse(file, path.name, timed=timed)


def parse(lines: Iterable[str], name: str = "trace", *, timed: bool = True) -> list[Arrival]:
    """The same of a file's lines."""
    found = [each for each in islice(_rows(lines, name, timed=timed), _MOST) if each.answer > 0]
    if not found:
        raise ValueError(f"{name}: there is no call in it")
    found.sort(key=lambda each: each.at)
    first = found[0].at
    return [replace(each, at=each.at - first) for each in found]


def play(calls: Iterable[Arrival], *, speed: float, seconds: float, most: int) -> list[Arrival]:
    """The first seconds of a trace that goes `speed` times as fast; at most so many calls."""
    if speed <= 0:
        raise ValueError(f"speed: {speed:g} is not above 0")
    quick = (replace(each, at=each.at / speed) for each in calls)
    return list(islice((each for each in quick if each.at < seconds), most))


def _rows(lines: Iterable[str], name: str, *, timed: bool) -> Iterator[Arrival]:
    rows = iter(lines)
    head = next(rows, "").lstrip("\ufeff")
    entries: Iterator[Mapping[str, Any]]
    if head.lstrip().startswith("{"):
        start = 1
        entries = _objects([head], rows, name)
        columns = _KINDS[-1]
    else:
        start = 2
        fields = [each.strip() for each in next(csv.reader([head]), [])]
        columns = _columns(fields, name, timed=timed)
        entries = csv.DictReader(rows, fields)
    for number, entry in enumerate(entries, start):
        try:
            yield Arrival(
                columns.seconds(entry[columns.at]) if timed else 0.0,
                int(entry[columns.prompt]),
                int(entry[columns.answer]),
                _blocks(entry.get("hash_ids")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{name}, line {number}: {type(error).__name__}: {error}") from None


def _columns(fields: list[str], name: str, *, timed: bool) -> _Columns:
    for each in _KINDS:
        wanted = {each.prompt, each.answer, *([each.at] if timed else [])}
        if wanted <= set(fields):
            return each
    known = "; ".join(f"{each.at}, {each.prompt}, {each.answer}" for each in _KINDS)
    raise ValueError(f"{name}: its first line names none of these columns: {known}")


def _objects(head: list[str], rows: Iterator[str], name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate((*head, *rows), 1):
        if line.strip():
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{name}, line {number}: {error}") from None


def _blocks(given: Any) -> tuple[int, ...]:
    if not given:
        return ()
    values = json.loads(given) if isinstance(given, str) else given
    return tuple(int(each) for each in values)
