"""The OWASP API Security Top 10 of 2023, one test an item: API1 to API6, what callers may have."""

from __future__ import annotations

import base64
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.auth import manage
from gateway.protocol.request import STRIPPED
from tests.contract.keyed import bearer, code
from tests.contract.safety.tenants import ask, question, tenant
from tests.contract.safety.wire import ANSWER, RawServer, answer
from tests.contract.stack import HTTP, Gateway, Simulator, chat, wait_for

pytestmark = pytest.mark.timeout(240)

ADMIN_ROUTES = (
    *(("GET", "/admin/keys"), ("POST", "/admin/keys"), ("GET", "/admin/keys/x")),
    *(("DELETE", "/admin/keys/x"), ("POST", "/admin/keys/x/rotate"), ("GET", "/admin/usage")),
    *(("GET", "/admin/cache"), ("DELETE", "/admin/cache")),
)


def test_api1_2023_broken_object_level_authorization(house: Gateway, vllm: Simulator) -> None:
    """Nothing that is kept for one tenant is another one's to have."""
    mine, theirs = tenant(house, "mine", usd_per_day=5.0), tenant(house, "theirs", usd_per_day=7.0)
    asked = question()
    first = ask(house, mine.key, messages=asked)
    salts = [vllm.last()["cache_salt"]]
    assert ask(house, mine.key, messages=asked).headers["x-r1-cache"] == "hit"
    # The answer, and the engine's blocks for it.
    same = ask(house, theirs.key, messages=asked)
    salts.append(vllm.last()["cache_salt"])
    assert same.headers["x-r1-cache"] == "miss"
    assert same.json()["id"] != first.json()["id"]
    assert salts[0] != salts[1]
    # What an idempotency key stands for.
    once = {"idempotency-key": "one"}
    ask(house, mine.key, headers=once, messages=question())
    other = ask(house, theirs.key, headers=once, messages=question())
    assert (other.status_code, other.headers["x-r1-cache"]) == (200, "miss")
    # Stored responses, balances, usage.
    for method, end in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        url = f"{house.url}/v1/responses/{first.json()['id']}{end}"
        assert HTTP.request(method, url, headers=bearer(mine.key)).status_code == 404
    url = f"{house.url}/user/balance?key={mine.record.id}&tenant=mine"
    (balance,) = HTTP.get(url, headers=bearer(theirs.key)).json()["balance_infos"]
    assert float(balance["total_balance"]) > 6
    for path in (f"/admin/usage?key={mine.record.id}", f"/admin/keys/{mine.record.id}"):
        assert HTTP.get(house.admin_url + path, headers=bearer(theirs.key)).status_code == 403


def test_api2_2023_broken_authentication(house: Gateway, vllm: Simulator) -> None:
    """A key is a whole, living key, in a header; all else is 401, on every route."""
    good = tenant(house, "acme")
    ended = tenant(house, "acme", expires=1)
    basic = base64.b64encode(b"x:" + good.key.encode()).decode()
    wrong = [
        {},
        {"authorization": ""},
        {"authorization": good.key},
        {"authorization": "Bearer"},
        {"authorization": "Bearer " + good.key[:-1]},
        {"authorization": "Bearer " + good.key[:-1] + ("0" if good.key[-1] != "0" else "1")},
        {"authorization": "Bearer " + good.key.upper()},
        {"authorization": "Bearer " + "r1-" + "0" * 38},
        {"authorization": f"Bearer {good.key} {good.key}"},
        {"authorization": f"Bearer {house.admin_key}"},
        {"authorization": f"Basic {basic}"},
        {"authorization": f"Bearer {ended.key}"},
        {"x-api-key": good.key[:-1]},
        {"cookie": f"authorization=Bearer {good.key}"},
    ]
    routes = (("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/user/balance"))
    for headers in wrong:
        for method, path in routes:
            url = f"{house.url}{path}?api_key={good.key}&key={good.key}"
            refused = HTTP.request(method, url, headers=headers, json=chat())
            assert (refused.status_code, code(refused)) == (401, "invalid_api_key"), headers
            assert refused.headers["www-authenticate"] == 'Bearer realm="r1"'
            assert good.key not in refused.text
    for headers in (*wrong[:9], {"authorization": "Bearer " + house.admin_key[:-1]}):
        for method, path in ADMIN_ROUTES:
            refused = HTTP.request(method, house.admin_url + path, headers=headers, json={})
            assert refused.status_code == 401, (path, headers)
    assert vllm.seen()["seen"] == []
    # A key that is revoked ends at once, in all workers.
    assert ask(house, good.key).status_code == 200
    manage.revoke_key(house.redis.url, house.pepper_file, good.record.id)
    wait_for(
        lambda: all(ask(house, good.key).status_code == 401 for _ in range(6)), "the key's end"
    )
    assert house.value("r1_auth_failures_total", reason="malformed") > 0


def test_api3_2023_broken_object_property_level_authorization(
    house: Gateway, vllm: Simulator, door: Gateway, raw: RawServer
) -> None:
    """Fields that are not the caller's to set don't arrive, and engine fields don't come back."""
    key = tenant(house, "acme").key
    taken = dict.fromkeys(STRIPPED - {"return_token_ids", "include_reasoning"}, "stolen")
    headers = {"x-r1-model": "stolen", "x-r1-tenant": "stolen", "x-forwarded-user": "stolen"}
    made = ask(house, key, headers=headers, messages=question(), **taken)
    assert made.status_code == 200
    assert "stolen" not in json.dumps(vllm.last()) + json.dumps(vllm.seen()["headers"][-1])
    assert "stolen" not in "".join(made.headers.values())
    inside = {
        **ANSWER,
        "kv_transfer_params": {"secret": 1},
        "prompt_token_ids": [1],
        "metrics": {"secret": 1},
        "model": "/weights/of/r1",
    }
    raw.reply = answer(json.dumps(inside).encode(), "x-engine: secret", "set-cookie: secret=1")
    told = door.post()
    assert told.json()["model"] == "r1-nano"
    for word in ("secret", "prompt_token_ids", "/weights"):
        assert word not in told.text + str(told.headers)
    # A new key has the terms that are named, and nothing else can be set.
    for field in ({"id": "key_1"}, {"created": 1}, {"hint": "x"}, {"retires": None}, {"key": "x"}):
        refused = HTTP.post(
            house.admin_url + "/admin/keys",
            json={"name": "x", **field},
            headers=bearer(house.admin_key),
        )
        assert refused.status_code == 400, field


def test_api4_2023_unrestricted_resource_consumption(house: Gateway, vllm: Simulator) -> None:
    """What a request may take is bounded before anything is done with it."""
    many = [{"role": "user", "content": "hi"}] * 5000
    url = {"url": "data:image/png;base64,eA=="}
    parts = [{"type": "image_url", "image_url": url}] * 2000
    tool = {"type": "function", "function": {"name": "f"}}
    bias = dict.fromkeys(map(str, range(2000)), 1)
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    too_much: list[dict[str, Any]] = [
        {"messages": many},
        {"messages": [{"role": "user", "content": parts}]},
        {"tools": [tool] * 200},
        {"metadata": {"deep": deep}},
        *({"n": 129}, {"n": 10**9}, {"best_of": 10**9}, {"max_tokens": 2**40}),
        *(
            {"stop": ["x"] * 5},
            {"stop": "x" * 300},
            {"logit_bias": bias},
        ),
        *({"top_logprobs": 1000, "logprobs": True}, {"prompt_logprobs": 1000}),
        *({"bad_words": ["x"] * 2000}, {"user": "x" * 600}),
        {"structured_outputs": {"regex": "((a{99}){99}){99}"}},
        {"structured_outputs": {"grammar": "x" * 70_000}},
        {"response_format": {"type": "structural_tag", "structures": ["x" * 70_000]}},
    ]
    for body in too_much:
        refused = house.post(**body)
        assert (refused.status_code, refused.json()["error"]["type"]) == (
            400,
            "invalid_request_error",
        ), str(body)[:80]
    prompts = {"model": "r1-nano", "prompt": ["x"] * 129}
    url_of = house.url + "/v1/completions"
    assert HTTP.post(url_of, json=prompts, headers=house.headers).status_code == 400
    large = json.dumps(chat(user="x" * 5_000_000)).encode()
    url_of = house.url + "/v1/chat/completions"
    assert HTTP.post(url_of, content=large, headers=house.headers).status_code == 413
    packed = {**house.headers, "content-encoding": "gzip"}
    bomb = gzip.compress(b" " * 10_000_000)
    assert HTTP.post(url_of, content=bomb, headers=packed).status_code == 400
    assert vllm.seen()["seen"] == []


def test_api5_2023_broken_function_level_authorization(house: Gateway, vllm: Simulator) -> None:
    """Callers' keys administer nothing, the API port has no such route, scopes are kept apart."""
    plain, narrow = tenant(house, "acme").key, tenant(house, "acme", models=("other",)).key
    batch = tenant(house, "acme", scopes=("batch",)).key
    for method, path in ADMIN_ROUTES:
        for key in (plain, batch):
            refused = HTTP.request(
                method, house.admin_url + path, headers=bearer(key), json={"name": "x"}
            )
            assert (refused.status_code, code(refused)) == (403, "missing_scope"), path
        for key in (plain, house.admin_key):
            here = HTTP.request(method, house.url + path, headers=bearer(key))
            assert (here.status_code, code(here)) == (404, "not_found"), path
    assert HTTP.get(house.url + "/metrics").status_code == 404
    assert ask(house, batch).status_code == 403
    for model in ("r1-nano", "deepseek-r1"):
        assert code(ask(house, narrow, model=model)) == "model_not_allowed"
        shown = HTTP.get(f"{house.url}/v1/models/{model}", headers=bearer(narrow))
        assert shown.status_code == 403
    assert HTTP.get(house.url + "/v1/models", headers=bearer(narrow)).json()["data"] == []
    assert vllm.seen()["seen"] == []


def test_api6_2023_unrestricted_access_to_sensitive_business_flows(
    house: Gateway, vllm: Simulator
) -> None:
    """Limits and budgets are one, whichever way in is taken, and at once too."""
    limited = tenant(house, "flows", rpm=5).key
    ways = [
        ("/v1/chat/completions", "r1-nano", {}),
        ("/chat/completions", "deepseek-r1", {"idempotency-key": "same"}),
        ("/v1/chat/completions", "deepseek-reasoner", {"cache-control": "no-store"}),
    ]

    def go(number: int) -> int:
        path, model, headers = ways[number % len(ways)]
        asked = [{"role": "user", "content": "What is 7+5?"}]
        return ask(house, limited, path, headers, model=model, messages=asked).status_code

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(go, range(24)))
    assert sorted(set(answers)) == [200, 429]
    assert answers.count(200) == 5
    poor = tenant(house, "flows", usd_per_day=1e-6).key
    assert ask(house, poor, messages=question()).status_code in (200, 402, 429)
    wait_for(lambda: ask(house, poor, messages=question()).status_code == 402, "the budget's end")
    for path, model, headers in ways:
        assert ask(house, poor, path, headers, model=model, messages=question()).status_code == 402
