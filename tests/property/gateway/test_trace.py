"""W3C trace context, with anything that a header may hold."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.trace import Trace, follow, new_span

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEX = "0123456789abcdef"
ids = st.text(HEX, min_size=32, max_size=32).filter(lambda text: text.strip("0"))
spans = st.text(HEX, min_size=16, max_size=16).filter(lambda text: text.strip("0"))


def trace(*headers: tuple[str, str], sample: bool = False) -> Trace:
    rng = random.Random(1)
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return follow(encoded, rng.getrandbits, lambda: sample)


def began_here(found: Trace) -> bool:
    return found.parent is None and found.state == ""


@given(ids, spans, st.integers(0, 255))
def test_a_trace_goes_on_with_a_span_of_its_own(trace_id: str, span: str, flags: int) -> None:
    found = trace(("traceparent", f"00-{trace_id}-{span}-{flags:02x}"))
    assert (found.id, found.parent) == (trace_id, span)
    assert found.sampled == bool(flags & 1)
    assert found.span != span
    told = found.headers("00000000000000aa")["traceparent"]
    assert told == f"00-{trace_id}-00000000000000aa-{flags & 3:02x}"
    # What is told can be followed.
    assert trace(("traceparent", told)).id == trace_id


@given(st.binary(max_size=80))
def test_whatever_comes_what_goes_is_valid(value: bytes) -> None:
    rng = random.Random(2)
    found = follow([(b"traceparent", value), (b"tracestate", value)], rng.getrandbits, lambda: True)
    told = found.headers(new_span(rng.getrandbits))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", told["traceparent"])
    assert set(told) <= {"traceparent", "tracestate"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        PARENT[:-1],
        PARENT + "0",
        PARENT + "-",
        PARENT + "-more",
        PARENT.upper(),
        PARENT.replace("-", "_"),
        "ff" + PARENT[2:],
        "ff" + PARENT[2:] + "-more",
        "0x" + PARENT[2:],
        "cc" + PARENT[2:] + "more",
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + PARENT[52:],
        PARENT[:36] + "00F067AA0BA902B7" + PARENT[52:],
        PARENT[:53] + "0x",
        PARENT + "\n",
    ],
)
def test_a_wrong_parent_is_as_none(value: str) -> None:
    found = trace(("traceparent", value), ("tracestate", "a=1"), sample=True)
    assert began_here(found)
    assert found.sampled


@pytest.mark.parametrize("more", ["", "-", "-what-the-future-will-be"])
def test_a_later_version_is_read_as_far_as_it_is_known(more: str) -> None:
    found = trace(("traceparent", "cc" + PARENT[2:] + more))
    assert (found.id, found.parent) == (PARENT[3:35], PARENT[36:52])
    assert found.headers("00000000000000aa")["traceparent"].startswith("00-")


def test_two_parents_are_none() -> None:
    assert began_here(trace(("traceparent", PARENT), ("traceparent", PARENT)))


@pytest.mark.parametrize("sample", [True, False])
def test_a_trace_that_begins_here_is_sampled_as_told(sample: bool) -> None:
    assert trace(sample=sample).sampled is sample
    # One that began elsewhere goes by what was said there.
    assert trace(("traceparent", PARENT), sample=sample).sampled
    assert not trace(("traceparent", PARENT[:-1] + "0"), sample=sample).sampled


def test_no_id_is_zero() -> None:
    assert follow([], lambda bits: 0, lambda: False) == Trace("0" * 31 + "1", "0" * 15 + "1")


@pytest.mark.parametrize(
    "state",
    [
        "a=1",
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "fw529a3039@dt=FfffffeA; b c,x_-*/9=v ~!",
        "a=1 , b=2,,c=3",
        ",".join(f"k{number}=v" for number in range(32)),
        "a=" + "x" * 256,
    ],
)
def test_a_valid_state_is_passed_unchanged(state: str) -> None:
    found = trace(("traceparent", PARENT), ("tracestate", state))
    assert found.headers(found.span)["tracestate"] == state


@pytest.mark.parametrize(
    "state",
    [
        "",
        "a",
        "=1",
        "a=",
        "A=1",
        "a b=1",
        "1a=1",
        "a@=1",
        "@a=1",
        "a@b@c=1",
        "a=1=2",
        "a=ü",
        "a=1\x7f",
        "a=1,a=2",
        "a=" + "x" * 257,
        ",".join(f"k{number}=v" for number in range(33)),
        ",".join(f"k{number}=" + "v" * 30 for number in range(20)),
    ],
)
def test_a_wrong_state_is_dropped_and_the_trace_goes_on(state: str) -> None:
    found = trace(("traceparent", PARENT), ("tracestate", state))
    assert found.id == PARENT[3:35]
    assert "tracestate" not in found.headers(found.span)


def test_states_in_several_headers_are_one() -> None:
    headers = (("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2"))
    assert trace(*headers).state == "a=1,b=2"
    assert trace(*headers, ("tracestate", "a=3")).state == ""
    assert trace(("tracestate", "a=1")).state == ""


@given(st.text(max_size=600))
def test_a_state_is_passed_whole_or_not_at_all(state: str) -> None:
    header = state.encode("utf-8", "ignore")
    found = follow(
        [(b"traceparent", PARENT.encode()), (b"tracestate", header)],
        random.Random(3).getrandbits,
        lambda: False,
    )
    assert found.state in ("", header.decode("utf-8").strip(" \t"))
    assert len(found.state) <= 512
