"""Limits, budgets and usage of keys, over two workers and a real Redis."""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as redis_client

from gateway.auth import bootstrap, manage
from gateway.auth.keys import digest, make_key
from gateway.auth.register import CreatedKey, KeyRegister
from gateway.store.redis import Store
from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator, answers, chat, wait_for

pytestmark = pytest.mark.timeout(240)

LEASE_S = 2.0
PRICES = {"input_miss": 0.14, "input_hit": 0.014, "output": 2.19}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("store"))
    yield server
    server.end()


@pytest.fixture(scope="module")
def limited(
    tmp_path_factory: pytest.TempPathFactory, store: RedisServer, shared_vllm: Simulator
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("limited")
    (folder / "engine.key").write_text("engine-secret")
    process = Gateway(
        folder,
        store,
        [{"url": shared_vllm.url + "/r1-nano", "key_file": "engine.key"}],
        listen={"workers": 2},
        model={"prices": PRICES},
        limits={"lease_s": LEASE_S, "watch_interval_s": 0.2},
    )
    yield process
    assert process.end() == 0


def make(gateway: Gateway, name: str = "limited", **terms: Any) -> CreatedKey:
    return manage.create_key(
        gateway.redis.url, gateway.pepper_file, name=name, tenant="acme", **terms
    )


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def ask(gateway: Gateway, key: str, **body: Any) -> httpx.Response:
    return HTTP.post(
        gateway.url + "/v1/chat/completions", json=chat(**body), headers=bearer(key), timeout=30
    )


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def admin(gateway: Gateway, path: str, **query: str) -> httpx.Response:
    url = f"{gateway.admin_url}/admin/{path}"
    return HTTP.get(url, params=query, headers=bearer(gateway.admin_key))


def used(gateway: Gateway, key_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = admin(gateway, "usage", key=key_id).json().get("data", [])
    return rows


def requests_used(gateway: Gateway, key_id: str) -> int:
    return sum(row["requests"] for row in used(gateway, key_id))


def test_requests_a_minute_hold_for_concurrent_requests_over_all_workers(
    limited: Gateway, vllm: Simulator
) -> None:
    made = make(limited, rpm=7)
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda _: ask(limited, made.key), range(40)))
    passed = [each for each in got if each.status_code == 200]
    refused = [each for each in got if each.status_code == 429]
    assert (len(passed), len(refused)) == (7, 33)
    assert len(limited.worker_pids()) == 2
    left = sorted(int(each.headers["x-ratelimit-remaining-requests"]) for each in passed)
    assert left == list(range(7))
    for each in got:
        assert each.headers["x-ratelimit-limit-requests"] == "7"
        assert "x-ratelimit-limit-tokens" not in each.headers
    for each in refused:
        error = each.json()["error"]
        assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
        assert each.headers["x-ratelimit-remaining-requests"] == "0"
        assert each.headers["x-ratelimit-reset-requests"].endswith("s")
        assert each.headers["x-should-retry"] == "true"
        assert 1 <= int(each.headers["retry-after"]) <= 61
        assert each.headers["retry-after"] + " s" in error["message"]
    # A refused request reached no model, and is no usage.
    assert vllm.seen()["running"] == 0
    wait_for(lambda: requests_used(limited, made.record.id) == 7, "the usage")


def test_tokens_a_minute_are_reserved_and_settled_with_the_real_usage(
    limited: Gateway, vllm: Simulator, store: RedisServer
) -> None:
    made = make(limited, tpm=400)
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda _: ask(limited, made.key, max_tokens=40), range(40)))
    passed = [each for each in got if each.status_code == 200]
    refused = [each for each in got if each.status_code == 429]
    assert len(passed) + len(refused) == 40
    assert passed
    assert refused
    assert {each.json()["error"]["type"] for each in refused} == {"tokens"}
    assert got[0].headers["x-ratelimit-limit-tokens"] == "400"
    total = sum(each.json()["usage"]["total_tokens"] for each in passed)
    assert total <= 400

    def counted() -> int:
        with redis_client.Redis.from_url(store.url, decode_responses=True) as client:
            window = client.hgetall(f"r1:window:{made.record.id}")
        return int(window.get("t", 0))

    wait_for(lambda: counted() == total, "the settlements")
    huge = ask(limited, made.key, messages=[{"role": "user", "content": "x" * 5000}])
    assert (huge.status_code, huge.headers["x-should-retry"]) == (429, "false")


def hold_places(gateway: Gateway, key: str, count: int, open_streams: ExitStack) -> None:
    """Open streams that go on for a long time."""
    for _ in range(count):
        response = open_streams.enter_context(
            HTTP.stream(
                "POST",
                gateway.url + "/v1/chat/completions",
                json=chat(stream=True),
                headers=bearer(key),
                timeout=60,
            )
        )
        assert response.status_code == 200


def test_places_are_held_while_an_answer_goes_on_and_given_back_by_who_leaves(
    limited: Gateway, vllm: Simulator, store: RedisServer
) -> None:
    made = make(limited, parallel=2)
    vllm.control(content="x" * 4000, step_s=0.1)

    def leases() -> list[float]:
        with redis_client.Redis.from_url(store.url, decode_responses=True) as client:
            live = client.hvals(f"r1:live:{made.record.id}")
        return [float(value.split()[0]) for value in live]

    with ExitStack() as streams:
        hold_places(limited, made.key, 2, streams)
        first = max(leases())
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda _: ask(limited, made.key), range(8)))
        assert {each.status_code for each in got} == {429}
        assert {each.headers["retry-after"] for each in got} == {"1"}
        # Longer than a lease: it is renewed.
        wait_for(lambda: min(leases()) > first + LEASE_S, "the renewal")
        assert ask(limited, made.key).status_code == 429
    vllm.reset()
    wait_for(lambda: leases() == [], "the places")
    assert [ask(limited, made.key).status_code for _ in range(10)] == [200] * 10


def test_the_place_of_a_killed_worker_is_freed(limited: Gateway, vllm: Simulator) -> None:
    made = make(limited, parallel=1)
    vllm.control(content="x" * 4000, step_s=0.1)
    with ExitStack() as streams:
        hold_places(limited, made.key, 1, streams)
        assert ask(limited, made.key).status_code == 429
        for pid in limited.worker_pids():
            os.kill(pid, signal.SIGKILL)
        vllm.reset()
        wait_for(lambda: limited.text().count('"worker_died"') >= 2, "the end of the workers")
        wait_for(lambda: answers(limited.admin_url + "/readyz"), "new workers", 45.0)
        wait_for(lambda: ask(limited, made.key).status_code == 200, "the place", 30.0)


def test_a_money_budget(limited: Gateway, vllm: Simulator) -> None:
    made = make(limited, usd_per_day=0.02, usd_per_month=100.0)

    def balance(path: str = "/user/balance") -> dict[str, Any]:
        got: dict[str, Any] = HTTP.get(limited.url + path, headers=bearer(made.key)).json()
        return got

    full = {
        "currency": "USD",
        "total_balance": "0.02",
        "granted_balance": "0.02",
        "topped_up_balance": "0.00",
    }
    assert balance() == {"is_available": True, "balance_infos": [full]}
    assert balance("/v1/user/balance") == balance()
    # An answer of 10,000 tokens and more costs $0.0219.
    vllm.control(content="x" * 3000)
    for _ in range(4):
        answer = ask(limited, made.key)
        if answer.status_code == 402:
            break
    spent = wait_for(lambda: _refused(limited, made.key, 402), "the budget's end")
    assert code(spent) == "insufficient_quota"
    assert "usd_per_day" in spent.json()["error"]["message"]
    assert spent.headers["x-should-retry"] == "false"
    assert balance()["is_available"] is False
    assert balance()["balance_infos"][0]["total_balance"] == "0.00"
    wait_for(lambda: limited.value("r1_keys_near_budget") >= 1, "the gauge")


def _refused(gateway: Gateway, key: str, status: int) -> httpx.Response | None:
    answer = ask(gateway, key)
    return answer if answer.status_code == status else None


def test_a_reasoning_budget_and_what_running_requests_hold_of_it(
    limited: Gateway, vllm: Simulator
) -> None:
    made = make(limited, reasoning_tokens_per_month=50)
    unlimited = HTTP.get(limited.url + "/user/balance", headers=bearer(make(limited).key)).json()
    assert unlimited == {"is_available": True, "balance_infos": []}
    vllm.control(reasoning="r" * 3000, step_s=0.1)
    with ExitStack() as streams:
        hold_places(limited, made.key, 1, streams)
        held = ask(limited, made.key)
        assert (held.status_code, code(held)) == (429, "rate_limit_exceeded")
        assert int(held.headers["retry-after"]) >= 1
    vllm.reset()
    vllm.control(reasoning="r" * 60)
    wait_for(lambda: ask(limited, made.key).status_code == 200, "the budget to be free again")
    spent = wait_for(lambda: _refused(limited, made.key, 402), "the budget's end")
    assert "reasoning_tokens_per_month" in spent.json()["error"]["message"]


def test_what_a_key_may_not_do(limited: Gateway, vllm: Simulator) -> None:
    elsewhere = make(limited, models=("r1-distill-nano",))
    refused = ask(limited, elsewhere.key)
    assert (refused.status_code, code(refused)) == (403, "model_not_allowed")
    models = limited.url + "/v1/models"
    assert HTTP.get(models, headers=bearer(elsewhere.key)).json()["data"] == []
    assert HTTP.get(models + "/r1-nano", headers=bearer(elsewhere.key)).status_code == 403
    by_alias = make(limited, models=("deepseek-r1",))
    assert ask(limited, by_alias.key, model="r1-nano").status_code == 200
    (card,) = HTTP.get(models, headers=bearer(by_alias.key)).json()["data"]
    assert card["id"] == "r1-nano"
    operator = make(limited, scopes=("admin",))
    refused = ask(limited, operator.key)
    assert (refused.status_code, code(refused)) == (403, "missing_scope")
    keys = limited.admin_url + "/admin/keys"
    assert HTTP.get(keys, headers=bearer(operator.key)).status_code == 200
    assert HTTP.get(keys, headers=bearer(by_alias.key)).status_code == 403
    assert HTTP.get(keys, headers=bearer(by_alias.key[:-1] + "!")).status_code == 401


def test_usage_is_the_sum_of_the_answers(limited: Gateway, vllm: Simulator) -> None:
    made = make(limited, name="metered", rpm=1000)
    cost_before = limited.value("r1_cost_usd_total", tenant="acme")
    usages: list[dict[str, Any]] = []
    for number in range(6):
        # The second of a pair has its prompt in the engine's prefix cache.
        prompt = [{"role": "user", "content": f"{number // 2} " + "long " * 60}]
        usages.append(ask(limited, made.key, messages=prompt).json()["usage"])
    for _ in range(3):
        with HTTP.stream(
            "POST",
            limited.url + "/v1/chat/completions",
            json=chat(stream=True, stream_options={"include_usage": True}),
            headers=bearer(made.key),
        ) as response:
            events = [line for line in response.iter_lines() if '"total_tokens"' in line]
        usages.append(httpx.Response(200, text=events[-1][6:]).json()["usage"])
    vllm.control(status=500)
    assert ask(limited, made.key).status_code == 502
    wait_for(lambda: requests_used(limited, made.record.id) == 10, "the usage")

    def total(*path: str) -> int:
        amounts: list[Any] = list(usages)
        for name in path:
            amounts = [each.get(name) or {} for each in amounts]
        return sum(each or 0 for each in amounts)

    hit = total("prompt_tokens_details", "cached_tokens")
    miss = total("prompt_tokens") - hit
    (row,) = used(limited, made.record.id)
    assert (row["prompt_cache_hit_tokens"], row["prompt_cache_miss_tokens"]) == (hit, miss)
    assert row["completion_tokens"] == total("completion_tokens") > 0
    assert row["reasoning_tokens"] == total("completion_tokens_details", "reasoning_tokens") > 0
    exact = [
        Decimal(str(PRICES[price])) * amount / 1_000_000
        for price, amount in (
            ("input_miss", miss),
            ("input_hit", hit),
            ("output", row["completion_tokens"]),
        )
    ]
    assert Decimal(row["cost_usd"]) == sum(exact)
    rows = admin(limited, "usage", key=made.record.id, format="csv")
    assert rows.headers["content-type"].startswith("text/csv")
    (line,) = csv.DictReader(io.StringIO(rows.text))
    assert line == {name: str(value) for name, value in row.items()}
    assert (line["tenant"], line["model"], line["requests"]) == ("acme", "r1-nano", "10")
    counted = limited.value("r1_cost_usd_total", tenant="acme") - cost_before
    assert counted >= float(row["cost_usd"]) * 0.999
    bad = admin(limited, "usage", **{"from": "2027-13-01"})
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "from")
    assert admin(limited, "usage", **{"from": "2001-01-01"}).json()["error"]["param"] == "from"


@pytest.mark.parametrize("api", ["chat/completions", "completions"])
def test_what_was_generated_for_a_caller_who_leaves_is_charged(
    limited: Gateway, vllm: Simulator, api: str
) -> None:
    made = make(limited)
    vllm.control(content="x" * 4000, step_s=0.05)
    body = {"prompt": "What is 7+5?", "max_tokens": 3000} if api == "completions" else {}
    with HTTP.stream(
        "POST",
        f"{limited.url}/v1/{api}",
        json=chat(stream=True, **body),
        headers=bearer(made.key),
    ) as response:
        for _ in zip(range(12), response.iter_lines(), strict=False):
            pass
    rows = wait_for(lambda: used(limited, made.record.id), "the usage")
    assert rows[0]["completion_tokens"] >= 4
    assert rows[0]["prompt_cache_hit_tokens"] + rows[0]["prompt_cache_miss_tokens"] > 0
    assert Decimal(rows[0]["cost_usd"]) > 0


def test_rotation_keeps_the_key_and_ends_its_old_text(limited: Gateway, vllm: Simulator) -> None:
    headers = bearer(limited.admin_key)
    url = limited.admin_url + "/admin/keys"
    body = {"name": "turning", "tenant": "acme", "rpm": 900, "expires": "2099-01-01"}
    made = HTTP.post(url, json=body, headers=headers).json()
    assert ask(limited, made["key"]).status_code == 200
    used_at = wait_for(
        lambda: HTTP.get(f"{url}/{made['id']}", headers=headers).json()["last_used"], "the use"
    )
    assert used_at >= made["created"]
    rotate = f"{url}/{made['id']}/rotate"
    turned = HTTP.post(rotate, json={"overlap_s": 2}, headers=headers).json()
    assert (turned["id"], turned["rpm"]) == (made["id"], 900)
    both = [ask(limited, made["key"]), ask(limited, turned["key"])]
    assert [each.status_code for each in both] == [200, 200]
    # One key: both count on the same limit.
    left = [int(each.headers["x-ratelimit-remaining-requests"]) for each in both]
    assert left == [898, 897]
    shown = HTTP.get(f"{url}/{made['id']}", headers=headers).json()
    assert [each["hint"] for each in shown["leaving"]] == [made["hint"]]
    wait_for(lambda: ask(limited, made["key"]).status_code == 401, "the end of the old text")
    assert limited.value("r1_auth_failures_total", reason="expired") >= 1
    assert ask(limited, turned["key"]).status_code == 200
    again = HTTP.post(rotate, json={"overlap_s": 0}, headers=headers).json()
    wait_for(lambda: ask(limited, turned["key"]).status_code == 401, "the end", 1.0)
    assert [ask(limited, turned["key"]).status_code for _ in range(6)] == [401] * 6
    assert HTTP.delete(f"{url}/{made['id']}", headers=headers).json()["revoked"] is True
    wait_for(lambda: ask(limited, again["key"]).status_code == 401, "the revocation", 1.0)
    assert HTTP.post(rotate, headers=headers).status_code == 404
    for wrong, field in (
        ({"rpm": 0}, "rpm"),
        ({"expires": "soon"}, "expires"),
        ({"scopes": ["root"]}, "scopes.0"),
        ({"usd_per_day": -1}, "usd_per_day"),
        ({"speed": 9}, "speed"),
    ):
        bad = HTTP.post(url, json={"name": "n", **wrong}, headers=headers)
        assert (bad.status_code, bad.json()["error"]["param"]) == (400, field)
    bad = HTTP.post(rotate, json={"overlap_s": -1}, headers=headers)
    assert bad.json()["error"]["param"] == "overlap_s"


def test_rotations_at_once_all_count(limited: Gateway, store: RedisServer) -> None:
    made = make(limited)
    pepper = limited.pepper_file.read_text().encode()

    async def run() -> None:
        connection = Store(store.url, timeout_s=5.0, watcher=manage.NoWatcher())
        register = KeyRegister(connection, pepper, time.time)
        key_id = made.record.id
        turned = await asyncio.gather(*(register.rotate(key_id, 60.0) for _ in range(4)))
        texts = [made.key, *(each.key for each in turned if each is not None)]
        records = [await register.find(register.address(text)) for text in texts]
        assert [each.id for each in records if each is not None] == [key_id] * 5
        assert [each.retires for each in records if each is not None].count(None) == 1
        assert await register.revoke(key_id)
        assert [await register.find(register.address(text)) for text in texts] == [None] * 5
        assert await register.show(key_id) == []
        await connection.close()

    asyncio.run(run())


def test_an_expired_key_is_refused_without_asking_the_store(
    limited: Gateway, vllm: Simulator, store: RedisServer
) -> None:
    made = make(limited, expires=1000)
    soon = make(limited, expires=10**10)
    assert ask(limited, soon.key).status_code == 200
    for _ in range(3):
        assert ask(limited, made.key).status_code == 401
    with redis_client.Redis.from_url(store.url) as client:
        before = client.info("commandstats")["cmdstat_get"]["calls"]
        for _ in range(5):
            assert ask(limited, made.key).status_code == 401
        # Two workers; one may not have seen it before.
        assert client.info("commandstats")["cmdstat_get"]["calls"] <= before + 2


def declare(store: RedisServer, pepper: bytes, file: Path) -> None:
    async def run() -> None:
        connection = Store(store.url, timeout_s=5.0, watcher=manage.NoWatcher())
        register = KeyRegister(connection, pepper, time.time)
        await bootstrap.declare(register, bootstrap.read(file), logging.getLogger("test"))
        await connection.close()

    asyncio.run(run())


def test_a_bootstrap_file_and_a_store_that_goes_away(
    tmp_path: Path, shared_vllm: Simulator
) -> None:
    store = RedisServer(tmp_path)
    folder = tmp_path / "gw"
    folder.mkdir()
    (folder / "engine.key").write_text("engine-secret")
    letters = iter("abcdefghij" * 8)
    plain, hashed = (make_key(lambda _: next(letters)) for _ in range(2))
    file = folder / "keys.yaml"
    file.write_text(f"keys: [{{name: shop, tenant: acme, key: {plain}, rpm: 3}}]")
    gateway = Gateway(
        folder,
        store,
        [{"url": shared_vllm.url + "/r1-nano", "key_file": "engine.key"}],
        auth={"bootstrap_file": "keys.yaml", "cache_ttl_s": 0.5},
    )
    try:
        wait_for(lambda: ask(gateway, plain).status_code == 200, "the declared key")
        (state,) = [
            each
            for each in admin(gateway, "keys").json()["data"]
            if (each["name"], each["rpm"]) == ("shop", 3)
        ]
        assert plain not in gateway.text()
        # Without the store nobody is refused, and it is counted.
        store.end()
        assert [ask(gateway, plain).status_code for _ in range(6)] == [200] * 6
        assert gateway.value("r1_store_errors_total", operation="reserve") >= 6
        balance = HTTP.get(gateway.url + "/user/balance", headers=bearer(plain))
        assert balance.json() == {"is_available": True, "balance_infos": []}
        # What was used meanwhile is settled when it is back.
        store = RedisServer(tmp_path, store.port)
        wait_for(lambda: requests_used(gateway, state["id"]) >= 6, "the settlements")
        # Another gateway starts with another file: a hash takes the text's place.
        pepper = gateway.pepper_file.read_text().encode()
        for text in (f"key: {plain}, rpm: 3", f"hash: {digest(hashed, pepper)}, parallel: 9"):
            file.write_text(f"keys: [{{name: shop, tenant: acme, {text}}}]")
            declare(store, pepper, file)
            state_now = admin(gateway, f"keys/{state['id']}").json()
            assert state_now["leaving"] == []
            # Again, as each further gateway does: nothing changes.
            declare(store, pepper, file)
            assert admin(gateway, f"keys/{state['id']}").json() == state_now
        assert (state_now["parallel"], state_now["rpm"]) == (9, None)
        wait_for(lambda: ask(gateway, hashed).status_code == 200, "the hashed key")
        assert ask(gateway, plain).status_code == 401
    finally:
        gateway.end()
        store.end()
