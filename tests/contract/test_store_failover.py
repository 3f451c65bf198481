"""Redis whose master changes: by sentinels, in a cluster, and unannounced; and Redis with TLS."""

from __future__ import annotations

import asyncio
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.asyncio import RedisCluster

from gateway.auth import manage
from gateway.auth.register import CreatedKey
from gateway.store.bytes import ByteStore
from gateway.store.once import NoWatcher
from gateway.store.redis import Store, StoreDown
from serving.registry import Registry, Replica
from tests.contract.keyed import admin, ask, bearer, code, make, requests_used
from tests.contract.redises import Cluster, Watched
from tests.contract.stack import HTTP, Gateway, RedisServer, Simulator, wait_for
from tests.contract.wire import Wire

pytestmark = pytest.mark.timeout(240)

WRITE = "return redis.call('SET', KEYS[1], ARGV[1])"


@contextmanager
def asking(gateway: Gateway, *keys: str) -> Iterator[list[int | str]]:
    """Calls with these keys, one after another; the statuses of their answers, or errors' codes."""
    statuses: list[int | str] = []
    over = threading.Event()

    def call() -> None:
        while not over.wait(0.005):
            for answer in [ask(gateway, key) for key in keys]:
                good = answer.status_code == 200
                statuses.append(200 if good else f"{answer.status_code} {code(answer)}")

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield statuses
    finally:
        over.set()
        caller.join()


def limited(gateway: Gateway, key: str) -> bool:
    """Whether the limits of a key are checked: which takes a write."""
    return "x-ratelimit-limit-requests" in ask(gateway, key).headers


def made(gateway: Gateway) -> CreatedKey | None:
    """A new key, once the store takes one."""
    try:
        return make(gateway, rpm=10**6)
    except StoreDown:
        return None


def test_sentinels_change_the_master(tmp_path: Path, vllm: Simulator) -> None:
    watched = Watched(tmp_path)
    gateway = over(tmp_path, vllm, watched)
    try:
        key = make(gateway, rpm=10**6).key
        assert limited(gateway, key)
        with asking(gateway, gateway.key, key) as statuses:
            wait_for(lambda: len(statuses) > 10, "some calls")
            watched.master.end(signal.SIGKILL)
            # Both find the new master: programs and the gateway.
            new = wait_for(lambda: made(gateway), "a key at the new master", 30)
            wait_for(lambda: ask(gateway, new.key).status_code == 200, "the gateway there")
            assert watched.master_port() == watched.replica.port
            wait_for(lambda: limited(gateway, key), "the limits there")
            wait_for(lambda: gateway.value("r1_store_degraded", store="keys") == 0, "the gauge")
            # And back, while the one that is the master no more lives on and refuses writes.
            watched.restart_first()
            watched.switch()
            wait_for(lambda: watched.master_port() == watched.master.port, "the switch", 30)
            newer = wait_for(lambda: made(gateway), "a key at the first master", 30)
            wait_for(lambda: ask(gateway, newer.key).status_code == 200, "the gateway there")
            wait_for(lambda: limited(gateway, key), "the limits there")
        assert set(statuses) == {200}
        assert manage.revoke_key(watched.url, gateway.pepper_file, newer.record.id)
        wait_for(lambda: ask(gateway, newer.key).status_code == 401, "the revocation", 2)
    finally:
        gateway.end()
        watched.end()


def test_a_cluster_loses_the_part_with_the_keys(tmp_path: Path, vllm: Simulator) -> None:
    cluster = Cluster(tmp_path)
    asyncio.run(announce(cluster.url, vllm.url))
    gateway = over(
        tmp_path,
        vllm,
        cluster,
        discovery="registry",
        discovery_key_file="engine.key",
        prices={"input_miss": 1, "input_hit": 1, "output": 1},
        cache={"mode": "deterministic"},
    )
    try:
        wait_for(lambda: gateway.events("replica_found"), "the replica")
        key = make(gateway, rpm=10**6, tpm=10**9, parallel=9, usd_per_day=5)
        assert limited(gateway, key.key)
        wait_for(lambda: requests_used(gateway, key.record.id) == 1, "the usage")
        spend = HTTP.get(gateway.url + "/user/balance", headers=bearer(key.key)).json()
        assert float(spend["balance_infos"][0]["total_balance"]) < 5
        # Answers lie in all parts; what looks at all of them finds them all.
        for number in range(12):
            ask(gateway, key.key, temperature=0, messages=question(number))
        wait_for(lambda: kept(gateway) == 12, "the answers")
        again = ask(gateway, key.key, temperature=0, messages=question(3))
        assert again.headers["x-r1-cache"] == "hit"
        assert sorted(sizes(cluster))[1] > 0
        emptied = HTTP.delete(gateway.admin_url + "/admin/cache", headers=bearer(gateway.admin_key))
        assert (emptied.json(), kept(gateway)) == ({"purged": 12}, 0)
        # A revocation is heard whichever node tells of it.
        gone = make(gateway)
        assert ask(gateway, gone.key).status_code == 200
        assert manage.revoke_key(cluster.url, gateway.pepper_file, gone.record.id)
        wait_for(lambda: ask(gateway, gone.key).status_code == 401, "the revocation", 2)

        with asking(gateway, gateway.key, key.key) as statuses:
            wait_for(lambda: len(statuses) > 10, "some calls")
            cluster.owner.end(signal.SIGKILL)
            new = wait_for(lambda: made(gateway), "a key at the replica", 30)
            wait_for(lambda: ask(gateway, new.key).status_code == 200, "the gateway there")
            wait_for(lambda: limited(gateway, key.key), "the limits there")
            wait_for(lambda: gateway.value("r1_store_degraded") == 0, "the gauge")
        assert set(statuses) == {200}
    finally:
        gateway.end()
        cluster.end()


def over(folder: Path, vllm: Simulator, store: Any, **model: Any) -> Gateway:
    """A gateway with this store, which looks a key up often."""
    (folder / "gw").mkdir()
    (folder / "gw" / "engine.key").write_text("engine-secret")
    return Gateway(
        folder / "gw",
        store,
        [{"url": vllm.url, "key_file": "engine.key"}],
        auth={"cache_ttl_s": 0.2},
        model=model,
    )


async def announce(url: str, engine: str) -> None:
    host, port = url.rpartition("://")[2].split(",")[0].split(":")
    cluster = RedisCluster(host, int(port))
    await Registry(cluster, ttl_s=600).announce(Replica(engine, "r1-nano", capacity=256))
    await cluster.aclose()


def question(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{number}+1?"}]


def kept(gateway: Gateway) -> int:
    told = admin(gateway, "cache").json()["data"]
    return sum(each["entries"] for each in told)


def sizes(cluster: Cluster) -> list[int]:
    """How many keys each node has."""
    found = []
    for each in cluster.nodes:
        with redis_client.Redis.from_url(each.url) as client:
            found.append(int(client.dbsize()))
    return found


async def test_a_server_that_is_master_no_more_is_left(tmp_path: Path) -> None:
    """As behind a name or a service that leads to another server now: old connections stay."""
    first, second = RedisServer(tmp_path), RedisServer(tmp_path)
    wire = Wire(first.port)
    store = Store(wire.url(), timeout_s=5, watcher=NoWatcher())
    try:
        assert await store.script("write", WRITE, "r1:x", ("1",))
        wire.target = second.port
        with redis_client.Redis.from_url(first.url) as client:
            client.replicaof("127.0.0.1", second.port)
        with pytest.raises(StoreDown, match="ResponseError"):
            await store.script("write", WRITE, "r1:x", ("2",))
        assert await store.script("write", WRITE, "r1:x", ("3",))
        with redis_client.Redis.from_url(second.url) as client:
            assert client.get("r1:x") == b"3"
    finally:
        await store.close()
        wire.close()
        first.end()
        second.end()


async def test_looking_after_a_healthy_store_disturbs_nobody(redis: RedisServer) -> None:
    store, looks = Store(redis.url, timeout_s=5, watcher=NoWatcher()), 0

    async def soon(seconds: float) -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)

    watching = asyncio.create_task(store.watch(soon))
    try:
        for number in range(50):
            words = [(str(each),) for each in range(number)]
            await asyncio.gather(*(store.script("write", WRITE, "r1:x", each) for each in words))
        assert looks > 50
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await store.close()


async def test_tls(tmp_path: Path, redis: RedisServer) -> None:
    ca, cert, key = certificates(tmp_path)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(cert, key)
    served.load_verify_locations(ca)
    served.verify_mode = ssl.CERT_REQUIRED
    wire = Wire(redis.port, served)
    mutual = f"ssl_ca_certs={ca}&ssl_certfile={cert}&ssl_keyfile={key}"
    store = Store(f"{wire.url('rediss')}?{mutual}", timeout_s=5, watcher=NoWatcher())
    answers = ByteStore(f"{wire.url('rediss')}?{mutual}", timeout_s=5, watcher=NoWatcher())
    refused = [
        # Who is asked shows nothing that this one trusts; who asks shows no certificate; no TLS.
        wire.url("rediss") + f"?ssl_certfile={cert}&ssl_keyfile={key}",
        wire.url("rediss") + f"?ssl_ca_certs={ca}",
        wire.url("redis"),
    ]
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = asyncio.create_task(hear(store, lambda: heard.put_nowait("ready"), heard))
    try:
        await store.script("write", WRITE, "r1:tls", ("1",))
        assert await store.get("r1:tls") == "1"
        assert await answers.get_bytes("r1:tls") == b"1"
        assert await asyncio.wait_for(heard.get(), 10) == "ready"
        await store.script("tell", "redis.call('PUBLISH', 'told', 'it')", "r1:tls", ())
        assert await asyncio.wait_for(heard.get(), 10) == "it"
        for url in refused:
            stranger = Store(url, timeout_s=2, watcher=NoWatcher())
            with pytest.raises(StoreDown):
                await stranger.get("r1:tls")
            await stranger.close()
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        await store.close()
        await answers.close()
        wire.close()


async def hear(store: Store, on_ready: Callable[[], None], heard: asyncio.Queue[str]) -> None:
    async for message in store.listen("told", on_ready):
        heard.put_nowait(message)


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Files: an authority, a certificate of it for 127.0.0.1, and the key of that."""
    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "r1 test")])
    now = datetime.now(UTC)

    def sign(public: ec.EllipticCurvePublicKey, whom: str, is_ca: bool) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, whom)])
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(here, critical=False)
            .sign(authority, hashes.SHA256())
        )

    pem = serialization.Encoding.PEM
    files = folder / "ca.crt", folder / "own.crt", folder / "own.key"
    files[0].write_bytes(sign(authority.public_key(), "r1 test", True).public_bytes(pem))
    files[1].write_bytes(sign(own.public_key(), "server", False).public_bytes(pem))
    files[2].write_bytes(
        own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
