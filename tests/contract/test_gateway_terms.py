"""Terms of keys: models and scopes, rotation, expiry, and the file that declares them."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest
import redis as redis_client

from gateway.auth import bootstrap
from gateway.auth.keys import digest, make_key
from gateway.auth.register import KeyRegister
from gateway.store.once import NoWatcher
from gateway.store.redis import Store
from tests.contract.keyed import (
    admin,
    ask,
    bearer,
    code,
    make,
    requests_used,
)
from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator, wait_for

pytestmark = pytest.mark.timeout(240)


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


def test_rotations_at_once_all_count(limited: Gateway, own_store: RedisServer) -> None:
    made = make(limited)
    pepper = limited.pepper_file.read_text().encode()

    async def run() -> None:
        connection = Store(own_store.url, timeout_s=5.0, watcher=NoWatcher())
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
    limited: Gateway, vllm: Simulator, own_store: RedisServer
) -> None:
    made = make(limited, expires=1000)
    soon = make(limited, expires=10**10)
    assert ask(limited, soon.key).status_code == 200
    for _ in range(3):
        assert ask(limited, made.key).status_code == 401
    with redis_client.Redis.from_url(own_store.url) as client:
        before = client.info("commandstats")["cmdstat_get"]["calls"]
        for _ in range(5):
            assert ask(limited, made.key).status_code == 401
        # Two workers; one may not have seen it before.
        assert client.info("commandstats")["cmdstat_get"]["calls"] <= before + 2


def declare(store: RedisServer, pepper: bytes, file: Path) -> None:
    async def run() -> None:
        connection = Store(store.url, timeout_s=5.0, watcher=NoWatcher())
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
