"""Shapes, arrivals, traces and lengths."""

from __future__ import annotations

import itertools
import json
import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loadtests.load.arrivals import poisson
from loadtests.load.lengths import Lengths
from loadtests.load.shapes import Shape
from loadtests.load.trace import Arrival, parse, play

LEVEL = st.floats(0, 100)
SHAPES = st.one_of(
    st.builds("soak:{}".format, st.floats(0.1, 100)),
    st.lists(LEVEL, min_size=1, max_size=5).map(lambda v: "steps:" + ",".join(map(str, v))),
    st.builds("ramp:{},{}".format, LEVEL, LEVEL),
    st.builds("spike:{},{}".format, LEVEL, LEVEL),
    st.builds("day:{},{}".format, LEVEL, LEVEL),
)
CALLS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(1, 9000), st.integers(1, 900)),
    min_size=1,
    max_size=20,
)


def shape(text: str) -> Shape:
    assume(any(float(each) > 0 for each in text.partition(":")[2].split(",")))
    return Shape.parse(text)


@given(SHAPES, st.floats(-0.5, 1.5))
def test_a_shape_stays_between_its_levels(text: str, share: float) -> None:
    curve = shape(text)
    assert min(curve.levels) - 1e-9 <= curve.at(share) <= curve.highest * (1 + 1e-12)


def test_shapes_are_what_they_are_called() -> None:
    def at(text: str) -> list[float]:
        curve = Shape.parse(text)
        return [round(curve.at(share), 6) for share in (0, 0.3, 0.5, 0.7, 1)]

    assert at("8") == at("soak:8") == [8, 8, 8, 8, 8]
    assert at("steps:1,4,16") == [1, 1, 4, 16, 16]
    assert at("ramp:0,10") == [0, 3, 5, 7, 10]
    assert at("spike:2,20") == [2, 2, 20, 2, 2]
    day = Shape.parse("day:2,30")
    assert day.at(4 / 24) == pytest.approx(2)
    assert day.at(16 / 24) == pytest.approx(30)
    assert day.at(0) == pytest.approx(day.at(1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("wave:1", "no shape 'wave'"),
        ("ramp:1", "takes 2 numbers"),
        ("x", "give numbers"),
        ("soak:0", "not all 0"),
        ("steps:1,-2", "between 0"),
        ("steps:nan", "between 0"),
    ],
)
def test_a_wrong_shape_is_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Shape.parse(text)


@given(SHAPES, st.integers(0, 1000))
def test_arrivals_are_seeded_ordered_and_bounded(text: str, seed: int) -> None:
    curve = shape(text)
    came = poisson(curve, 10.0, seed, 500)
    assert came == poisson(curve, 10.0, seed, 500)
    assert came == sorted(came)
    assert len(came) <= 500
    assert all(0 < at < 10 for at in came)


@pytest.mark.parametrize("text", ["soak:20", "steps:5,40", "ramp:1,39", "spike:5,60", "day:1,39"])
def test_as_many_come_as_the_shape_says_and_when_it_says(text: str) -> None:
    curve, seconds, slices = Shape.parse(text), 400.0, 10
    came = poisson(curve, seconds, 7, 10**6)
    for part in range(slices):
        begin, end = part / slices, (part + 1) / slices
        steps = 200
        mean = sum(curve.at(begin + (i + 0.5) / steps / slices) for i in range(steps)) / steps
        wanted = mean * seconds / slices
        seen = sum(begin <= at / seconds < end for at in came)
        # Six standard deviations of a Poisson count.
        assert abs(seen - wanted) < 6 * math.sqrt(wanted) + 1


def test_gaps_between_arrivals_are_exponential() -> None:
    """Kolmogorov and Smirnov's distance, at the level 0.001."""
    came = poisson(Shape.parse("10"), 1000.0, 3, 10**6)
    gaps = sorted(b - a for a, b in itertools.pairwise(came))
    far = max(
        abs((rank + 1) / len(gaps) - (1 - math.exp(-10 * gap))) for rank, gap in enumerate(gaps)
    )
    assert far < 1.95 / math.sqrt(len(gaps))


@given(CALLS, st.sampled_from(["azure", "burst", "mooncake", "mooncake.csv"]))
def test_each_trace_format_gives_the_same_calls(
    calls: list[tuple[int, int, int]], kind: str
) -> None:
    start = datetime(2023, 11, 16, 18, 15, tzinfo=UTC)
    if kind == "azure":
        lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
        for ms, prompt, answer in calls:
            at = start + timedelta(milliseconds=ms)
            lines.append(f"{at:%Y-%m-%d %H:%M:%S.%f}0,{prompt},{answer}")
    elif kind == "burst":
        lines = ["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"]
        lines += [f"{ms / 1000},GPT-4,{p},{a},{p + a},API log" for ms, p, a in calls]
        lines.append("0,GPT-4,100,0,100,API log")
    elif kind == "mooncake":
        lines = [
            json.dumps({"timestamp": m, "input_length": p, "output_length": a, "hash_ids": [0, 1]})
            for m, p, a in calls
        ]
    else:
        lines = ["timestamp,input_length,output_length"]
        lines += [f"{ms},{p},{a}" for ms, p, a in calls]
    found = parse(f"{line}\n" for line in lines)
    first = min(ms for ms, _, _ in calls)
    wanted = sorted(((ms - first) / 1000, p, a) for ms, p, a in calls)
    assert sorted((round(e.at, 6), e.prompt, e.answer) for e in found) == wanted
    assert [each.at for each in found] == sorted(each.at for each in found)
    assert all(each.blocks == ((0, 1) if kind == "mooncake" else ()) for each in found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names none"),
        ("a,b\n1,2\n", "names none of these columns"),
        ("timestamp,input_length,output_length\n", "no call"),
        ("timestamp,input_length,output_length\n1,x,2\n", "line 2"),
        ('{"timestamp": 0, "input_length": 3, "output_length": 1}\n{oops\n', "line 2"),
        ('{"timestamp": 0, "input_length": 3}\n', "line 1: KeyError"),
    ],
)
def test_a_broken_trace_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text.splitlines(keepends=True))


@given(CALLS, st.floats(0.1, 100), st.floats(0.1, 1000), st.integers(1, 30))
def test_a_faster_trace_has_the_same_calls_sooner(
    calls: list[tuple[int, int, int]], speed: float, seconds: float, most: int
) -> None:
    trace = [Arrival(ms / 1000, p, a) for ms, p, a in sorted(calls)]
    played = play(trace, speed=speed, seconds=seconds, most=most)
    assert len(played) <= most
    assert all(each.at < seconds for each in played)
    for before, after in zip(trace, played, strict=False):
        assert (before.prompt, before.answer) == (after.prompt, after.answer)
        assert after.at == before.at / speed


@given(st.integers(0, 2**32), st.integers(1, 5000), st.integers(1, 900))
def test_lengths_are_drawn_from_the_data_seeded_and_bounded(
    seed: int, prompt: int, answer: int
) -> None:
    lengths = Lengths(((100, 10), (2000, 400)), prompt, answer)
    drawn = lengths.draw(random.Random(seed))
    assert drawn == lengths.draw(random.Random(seed))
    assert drawn in {(min(100, prompt), min(10, answer)), (min(2000, prompt), min(400, answer))}


def test_the_usual_lengths_are_those_of_the_published_trace() -> None:
    """Its medians are 1020 and 129 tokens."""
    lengths = Lengths.of(prompt=10**6, answer=10**6)
    prompts, answers = (sorted(side) for side in zip(*lengths.pairs, strict=True))
    assert prompts[len(prompts) // 2] == pytest.approx(1020, rel=0.05)
    assert answers[len(answers) // 2] == pytest.approx(129, rel=0.05)
