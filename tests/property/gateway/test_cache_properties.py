"""Properties of the cache's policy: places, what may be kept, splicing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.canonical import Addresses, canonical, model_of
from gateway.cache.entry import TAG_LENGTH, Entry
from gateway.cache.policy import Use, Wish, cacheable, lifetime_s, read_wish, use
from gateway.cache.splice import Diverged, Splice
from gateway.cache.usage import as_cached
from gateway.model_settings import ModelSettings
from gateway.protocol import sse
from gateway.protocol.usage import Usage

MODEL: dict[str, Any] = {"id": "r1-nano", "upstreams": [{"url": "http://127.0.0.1:1"}]}
ADDRESSES = Addresses(b"a secret of the fleet")

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
bodies = st.dictionaries(
    st.sampled_from(["messages", "prompt", "temperature", "seed", "stop", "anything", "user"]),
    values,
    max_size=5,
)


def model(**settings: Any) -> ModelSettings:
    return ModelSettings.model_validate({**MODEL, **settings})


def place(tenant: str, body: dict[str, Any], **settings: Any) -> str:
    return ADDRESSES.answer(model(**settings), tenant, "chat", body)


@given(st.text(), st.text(), bodies, bodies)
def test_tenants_never_meet(one: str, other: str, first: Any, second: Any) -> None:
    if one != other:
        assert place(one, first) != place(other, second)
        assert ADDRESSES.salt(one) != ADDRESSES.salt(other)
        assert ADDRESSES.once(model(), one, "key") != ADDRESSES.once(model(), other, "key")
    shared = {"cache": {"shared": True}}
    assert place(one, first, **shared) == place(other, first, **shared)
    assert place(one, first, **shared) != place(one, first)


@given(bodies, bodies)
def test_another_body_lies_elsewhere(first: dict[str, Any], second: dict[str, Any]) -> None:
    # As JSON: in Python True is 1.
    same = json.dumps(sorted(first.items())) == json.dumps(sorted(second.items()))
    assert (place("acme", first) == place("acme", second)) == same


@given(bodies)
def test_only_the_order_of_a_bodys_own_fields_is_free(body: dict[str, Any]) -> None:
    turned = dict(reversed(body.items()))
    assert canonical(turned) == canonical(body)
    assert canonical({**body, "model": "an-alias"}) == canonical(body)
    one = {"tools": [{"a": 1, "b": 2}]}
    other = {"tools": [{"b": 2, "a": 1}]}
    assert canonical(one) != canonical(other), "a template would write another prompt"


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "2"},
        {"id": "r1-other"},
        {"defaults": {"temperature": 0.5}},
        {"upstreams": [{"url": "http://127.0.0.1:1", "model": "an-adapter"}]},
    ],
)
def test_what_changes_answers_changes_places(change: dict[str, Any]) -> None:
    body: dict[str, Any] = {"messages": []}
    assert place("acme", body, **change) != place("acme", body)


@pytest.mark.parametrize(
    "change",
    [
        {"aliases": ["r1"]},
        {"timeouts": {"total_s": 1}},
        {"upstreams": [{"url": "http://127.0.0.1:1"}, {"url": "http://127.0.0.1:2"}]},
    ],
)
def test_what_does_not_change_answers_does_not(change: dict[str, Any]) -> None:
    assert place("acme", {"messages": []}, **change) == place("acme", {"messages": []})


@given(st.text(min_size=1), bodies)
def test_places_tell_no_more_than_the_model(tenant: str, body: dict[str, Any]) -> None:
    key = place(tenant, body, id="org/r1:7b")
    assert model_of(key) == "org/r1:7b"
    head, owner, digest = key.rstrip("}").rsplit("/", 2)
    assert head == "r1:cache:{org/r1:7b"
    assert set(owner + digest) <= set("0123456789abcdef")


def test_apis_and_variants_are_apart() -> None:
    body = {"prompt": "x"}
    settings = model()
    places = {
        ADDRESSES.answer(settings, "acme", "chat", body),
        ADDRESSES.answer(settings, "acme", "completions", body),
        ADDRESSES.answer(settings, "acme", "chat", body, "allow"),
        ADDRESSES.once(settings, "acme", "x"),
        Addresses(b"another").answer(settings, "acme", "chat", body),
    }
    assert len(places) == 5


@given(st.one_of(st.none(), st.floats(0, 2)), st.one_of(st.none(), st.floats(0, 2)), st.booleans())
def test_only_what_comes_out_the_same_is_kept(
    temperature: float | None, default: float | None, seeded: bool
) -> None:
    body: dict[str, Any] = {"temperature": temperature}
    if seeded:
        body["seed"] = 0
    effective = default if temperature is None else temperature
    assert cacheable("deterministic", body, default) == (seeded or effective == 0)
    assert cacheable("always", body, default)
    assert not cacheable("off", body, default)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 4e6))
def test_kept_answers_age(ttl: float, stale: float, stored: float, now: float) -> None:
    fresh_until, gone_at = stored + ttl, stored + ttl + stale
    found = use(stored, fresh_until, gone_at, now, Wish())
    assert (found is Use.FRESH) == (now < fresh_until)
    assert (found is Use.NONE) == (now >= gone_at)
    assert use(stored, fresh_until, gone_at, now, Wish(max_age_s=0)) is Use.NONE or now < stored


@given(st.floats(0.1, 1e6), st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_jitter_only_shortens(ttl: float, jitter: float, draw: float) -> None:
    assert ttl * (1 - jitter) - 1e-6 <= lifetime_s(ttl, jitter, draw) <= ttl


@given(st.text(max_size=60))
def test_any_header_is_read(text: str) -> None:
    read_wish(text)


@pytest.mark.parametrize(
    ("header", "wish"),
    [
        (None, Wish()),
        ("no-store", Wish(store=False)),
        ("No-Cache", Wish(max_age_s=0)),
        ("max-age=60, only-if-cached", Wish(max_age_s=60, only_kept=True)),
        ("max-age=60, max-age=5", Wish(max_age_s=5)),
        ("max-age=soon, private", Wish()),
    ],
)
def test_headers_mean_what_http_says(header: str | None, wish: Wish) -> None:
    assert read_wish(header) == wish


@given(st.binary(max_size=4000), st.integers(0, 4000))
def test_entries_come_back_as_they_were(body: bytes, compress_over: int) -> None:
    entry = Entry("t" * TAG_LENGTH, 1.5, 2.5, 3.5, Usage(1, 2, 1, 0), body)
    assert Entry.unpack(entry.pack(compress_over)) == entry


@given(st.text())
def test_only_usage_is_rewritten(text: str) -> None:
    trap = text + '"usage":{"prompt_tokens":1}'
    plain = sse.event(dumps({"choices": [{"delta": {"content": trap}}]}))
    usage = sse.event(
        dumps({"choices": [], "usage": {"prompt_tokens": 7, "prompt_cache_hit_tokens": 1}})
    )
    data = plain + usage + sse.DONE
    told = as_cached(data, stream=True)
    assert told.startswith(plain)
    assert told.endswith(sse.DONE)
    assert json.loads(told[len(plain) + 6 :].split(b"\n\n")[0])["usage"] == {
        "prompt_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 7},
        "prompt_cache_hit_tokens": 7,
        "prompt_cache_miss_tokens": 0,
    }
    assert as_cached(plain, stream=True) == plain


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def run_of(identity: str, reasoning: list[str], content: list[str]) -> list[bytes]:
    """The events of one run of an answer, cut as the lists say."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "reasoning_content": None}]
    deltas += [{"content": None, "reasoning_content": each} for each in reasoning]
    deltas += [{"content": each, "reasoning_content": None} for each in content]
    events = [
        {"id": identity, "created": 1, "choices": [{"index": 0, "delta": delta}]}
        for delta in deltas
    ]
    last = {"content": "", "reasoning_content": None}
    ending = {"index": 0, "delta": last, "finish_reason": "stop"}
    events.append({"id": identity, "created": 1, "choices": [ending]})
    usage = {"id": identity, "created": 1, "choices": [], "usage": {"prompt_tokens": 1}}
    return [*(sse.event(dumps(each)) for each in (*events, usage)), sse.DONE]


def told_by(data: bytes) -> tuple[str, str, int, int, set[str]]:
    reasoning = content = ""
    ends = roles = 0
    names = set()
    for event in data.split(b"\n\n")[:-1]:
        if event == sse.DONE.strip():
            continue
        chunk = json.loads(event[6:])
        names.add(chunk["id"])
        for choice in chunk["choices"]:
            reasoning += choice["delta"].get("reasoning_content") or ""
            content += choice["delta"].get("content") or ""
            ends += choice.get("finish_reason") is not None
            roles += "role" in choice["delta"]
    return reasoning, content, ends, roles, names


@st.composite
def cuts(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces."""
    points = sorted(draw(st.sets(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *points], [*points, len(text)], strict=True)]
    return [piece for piece in pieces if piece]


texts = st.text(min_size=1, max_size=30)


@given(st.data(), texts, texts)
def test_a_spliced_stream_loses_and_doubles_nothing(
    data: st.DataObject, reasoning: str, content: str
) -> None:
    first = run_of("one", data.draw(cuts(reasoning)), data.draw(cuts(content)))
    second = run_of("two", data.draw(cuts(reasoning)), data.draw(cuts(content)))
    sent = b"".join(first[: data.draw(st.integers(1, len(first) - 1))])
    splice = Splice(sent)
    whole = sent
    while second:
        many = data.draw(st.integers(1, len(second)))
        whole += splice.feed(b"".join(second[:many]))
        second = second[many:]
    assert told_by(whole) == (reasoning, content, 1, 1, {"one"})
    assert whole.count(sse.DONE) == 1
    assert whole.endswith(sse.DONE)
    assert whole.count(b'"usage"') == 1


@given(texts, texts, texts)
def test_another_answer_is_not_put_behind_the_first(one: str, other: str, rest: str) -> None:
    sent = b"".join(run_of("one", [one], [rest])[:2])
    if (other + rest).startswith(one) and other.startswith(one):
        return
    splice = Splice(sent)
    with pytest.raises(Diverged):
        splice.feed(b"".join(run_of("two", [other], [rest])))


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "delta": {"tool_calls": [{"index": 0}]}},
        {"index": 0, "delta": {"content": "x"}, "logprobs": {"content": []}},
        {"index": 0, "delta": {"content": "x"}, "token_ids": [1]},
    ],
)
def test_what_cant_be_cut_is_not_spliced(choice: dict[str, Any]) -> None:
    event = sse.event(dumps({"id": "x", "choices": [choice]}))
    with pytest.raises(Diverged):
        Splice(event)
    with pytest.raises(Diverged):
        Splice(sse.event(dumps({"id": "x", "choices": []}))).feed(event)
