"""Keys: made, refused, revoked, and what happens to them when Redis is away."""

from __future__ import annotations

import signal
import string
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import redis as redis_client

from gateway.auth import manage
from gateway.auth.keys import make_key
from gateway.store.redis import StoreDown
from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator, chat, free_port, wait_for

# Some start a gateway of their own, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(240)


def ask(gateway: Gateway, key: str | None) -> tuple[int, str | None]:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    answer = HTTP.post(gateway.url + "/v1/chat/completions", json=chat(), headers=headers)
    code = None if answer.status_code == 200 else answer.json()["error"]["code"]
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) >= 1
    return answer.status_code, code


def a_key_nobody_made() -> str:
    letters = iter(string.ascii_letters)
    return make_key(lambda alphabet: next(letters))


def reads(redis: RedisServer) -> int:
    """How many GETs Redis has answered."""
    with redis_client.Redis.from_url(redis.url) as client:
        stats = client.info("commandstats")
    return int(stats.get("cmdstat_get", {}).get("calls", 0))


def test_refusals(gateway: Gateway, vllm: Simulator) -> None:
    assert ask(gateway, gateway.key) == (200, None)
    for bad in (None, "sk-123", "r1-short", gateway.key[:-1] + "!", "r1-" + "a" * 38):
        assert ask(gateway, bad) == (401, "invalid_api_key")
    assert ask(gateway, a_key_nobody_made()) == (401, "invalid_api_key")
    basic = HTTP.get(gateway.url + "/v1/models", headers={"authorization": "Basic abc"})
    assert basic.status_code == 401
    assert basic.headers["www-authenticate"].startswith("Bearer")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=gateway.url, api_key="sk-123").models.list()


def test_a_malformed_key_costs_no_store_read(
    gateway: Gateway, vllm: Simulator, redis: RedisServer
) -> None:
    before = reads(redis)
    for number in range(50):
        assert ask(gateway, f"r1-{number:038d}")[0] == 401
    assert reads(redis) == before


def test_a_known_key_is_read_once_in_a_while(
    gateway: Gateway, vllm: Simulator, redis: RedisServer
) -> None:
    for _ in range(3):
        ask(gateway, gateway.key)
    before = reads(redis)
    for _ in range(20):
        assert ask(gateway, gateway.key)[0] == 200
    # Two workers; each may not have seen it yet.
    assert reads(redis) <= before + 2


def test_nothing_in_redis_can_be_used_as_a_key(gateway: Gateway, redis: RedisServer) -> None:
    with redis_client.Redis.from_url(redis.url, decode_responses=True) as client:
        everything = [*client.keys("*")]
        everything += [client.get(key) or "" for key in client.keys("r1:key:*")]
        everything += client.hgetall("r1:keys").values()
    assert everything
    assert not any(gateway.key in each for each in everything)


def test_the_admin_routes(gateway: Gateway, vllm: Simulator) -> None:
    admin = {"authorization": f"Bearer {gateway.admin_key}"}
    url = gateway.admin_url + "/admin/keys"
    for headers in ({}, {"authorization": "Bearer wrong"}):
        assert HTTP.get(url, headers=headers).status_code == 401
    assert HTTP.get(url, headers=gateway.headers).status_code == 403
    made = HTTP.post(url, json={"name": "shop", "tenant": "t1"}, headers=admin)
    assert made.status_code == 201
    key = made.json()["key"]
    assert ask(gateway, key) == (200, None)
    listed = HTTP.get(url, headers=admin)
    assert key not in listed.text
    assert made.json()["id"] in [each["id"] for each in listed.json()["data"]]
    bad = HTTP.post(url, json={"name": "", "color": 1}, headers=admin)
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "name")
    gone = HTTP.delete(f"{url}/{made.json()['id']}", headers=admin)
    assert gone.json()["revoked"] is True
    wait_for(lambda: ask(gateway, key)[0] == 401, "the revocation", 1.0)
    # In every worker, not only in the one that happened to be asked.
    assert [ask(gateway, key)[0] for _ in range(10)] == [401] * 10
    assert HTTP.delete(f"{url}/{made.json()['id']}", headers=admin).status_code == 404


def test_keys_by_program(gateway: Gateway, vllm: Simulator, redis: RedisServer) -> None:
    made = manage.create_key(redis.url, gateway.pepper_file, name="cli", tenant="t2")
    assert ask(gateway, made.key) == (200, None)
    states = manage.list_keys(redis.url, gateway.pepper_file)
    assert made.record in [each.record for each in states]
    assert manage.revoke_key(redis.url, gateway.pepper_file, made.record.id)
    assert not manage.revoke_key(redis.url, gateway.pepper_file, made.record.id)
    wait_for(lambda: ask(gateway, made.key)[0] == 401, "the revocation", 1.0)
    with pytest.raises(StoreDown):
        manage.list_keys(f"redis://127.0.0.1:{free_port()}/0", gateway.pepper_file)


class TestStoreAway:
    """Redis stops, freezes, comes back."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[RedisServer]:
        server = RedisServer(tmp_path)
        yield server
        if server.alive():
            server.child.send_signal(signal.SIGCONT)
            server.end()

    @pytest.fixture
    def model_server(self, tmp_path: Path) -> Iterator[Simulator]:
        server = Simulator(tmp_path)
        yield server
        server.end()

    def gateway(
        self, folder: Path, store: RedisServer, upstream: Simulator, **auth: float
    ) -> Gateway:
        return Gateway(folder / "gw", store, [{"url": upstream.url}], auth=dict(auth))

    def test_known_keys_work_on_and_unknown_ones_wait(
        self, tmp_path: Path, store: RedisServer, model_server: Simulator
    ) -> None:
        gateway = self.gateway(tmp_path, store, model_server, cache_ttl_s=0.1, stale_s=600)
        try:
            assert ask(gateway, gateway.key) == (200, None)
            store.end()
            assert ask(gateway, gateway.key) == (200, None)
            assert ask(gateway, a_key_nobody_made()) == (503, "store_unavailable")
            assert ask(gateway, "r1-malformed") == (401, "invalid_api_key")
            assert HTTP.get(gateway.url + "/readyz").status_code == 200
            assert HTTP.get(gateway.admin_url + "/readyz").status_code == 200
            assert gateway.value("r1_store_degraded", store="keys") == 1
            assert gateway.value("r1_store_errors_total") > 0
            # It comes back empty: now the key is unknown, and that is said at once.
            again = RedisServer(tmp_path, store.port)
            wait_for(lambda: ask(gateway, gateway.key) == (401, "invalid_api_key"), "recovery")
            wait_for(
                lambda: gateway.value("r1_store_degraded", store="keys") == 0, "the gauge to fall"
            )
            again.end()
        finally:
            gateway.end()

    def test_a_known_key_does_not_work_for_ever(
        self, tmp_path: Path, store: RedisServer, model_server: Simulator
    ) -> None:
        gateway = self.gateway(tmp_path, store, model_server, cache_ttl_s=0.2, stale_s=0.5)
        try:
            assert ask(gateway, gateway.key) == (200, None)
            store.end()
            wait_for(lambda: ask(gateway, gateway.key) == (503, "store_unavailable"), "the end")
        finally:
            gateway.end()

    def test_a_frozen_store_holds_no_one_up(
        self, tmp_path: Path, store: RedisServer, model_server: Simulator
    ) -> None:
        gateway = self.gateway(tmp_path, store, model_server, cache_ttl_s=0.1, stale_s=600)
        try:
            assert ask(gateway, gateway.key) == (200, None)
            store.child.send_signal(signal.SIGSTOP)
            # Each waits for store.timeout_s = 0.5 at most.
            assert ask(gateway, a_key_nobody_made()) == (503, "store_unavailable")
            assert ask(gateway, gateway.key) == (200, None)
            store.child.send_signal(signal.SIGCONT)
            wait_for(
                lambda: ask(gateway, a_key_nobody_made()) == (401, "invalid_api_key"), "recovery"
            )
        finally:
            gateway.end()
