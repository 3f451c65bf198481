"""Where a Redis is: what URLs say, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, load, mask_url, masked, secret_files
from gateway.store.address import parse
from tests.unit.gateway.test_config import good, write


def test_a_server() -> None:
    address = parse("redis://me:p%40ss@redis.acme:6390/3")
    assert (address.kind, address.tls, address.hosts) == ("server", False, (("redis.acme", 6390),))
    assert address.options == {"username": "me", "password": "p@ss", "db": 3}
    assert parse("redis://h").hosts == (("h", 6379),)
    assert parse("rediss://[fd00::1]:7000/0").hosts == (("fd00::1", 7000),)
    assert "p@ss" not in repr(address)


def test_a_socket() -> None:
    address = parse("unix://:secret@/run/redis.sock?db=2")
    assert address.hosts == ()
    assert address.options == {"path": "/run/redis.sock", "password": "secret", "db": 2}


def test_sentinels() -> None:
    address = parse("redis+sentinel://:pw@a:1,b,[::1]:3/mymaster/2?sentinel_password=other")
    assert address.hosts == (("a", 1), ("b", 26379), ("::1", 3))
    assert (address.kind, address.master) == ("sentinel", "mymaster")
    assert address.options == {"password": "pw", "db": 2}
    assert address.sentinel_options == {"password": "other"}


def test_a_cluster_with_tls() -> None:
    url = "rediss+cluster://a:1,b:2?ssl_ca_certs=/etc/ca.crt&ssl_check_hostname=false"
    address = parse(url)
    assert (address.kind, address.tls, address.hosts) == ("cluster", True, (("a", 1), ("b", 2)))
    assert address.options == {"ssl_ca_certs": "/etc/ca.crt", "ssl_check_hostname": False}
    assert address.files() == {"ssl_ca_certs": "/etc/ca.crt"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h:1", "must be a URL such as redis://127.0.0.1:6380/0"),
        ("h:6379", "redis+sentinel://"),
        ("redis+ring://h:1", "redis+cluster://"),
        ("redis://", "host:port"),
        ("redis://h:0/1", "host:port"),
        ("redis://h:99999", "host:port"),
        ("redis://[::1", "must be a URL"),
        ("redis://:geheim/wort@h:1/0", "%2F"),
        ("redis://:geheim#wort@h:1/0", "%23"),
        ("redis://a:1,b:2/0", "names several hosts"),
        ("redis://h:1/geheim", "must have a number"),
        ("redis+sentinel://a:1", "must name the master"),
        ("redis+cluster://a:1/3", "a cluster has no database '3'"),
        ("redis+cluster://a:1?db=3", "'db'"),
        ("redis://h:1?socket_timeout=9", "'socket_timeout'"),
        ("redis://h:1?ssl_ca_certs=/x", "begin it with rediss"),
        ("redis://h:1?sentinel_password=geheim", "sentinel_password"),
        ("rediss://h:1?ssl_check_hostname=maybe", "true or false"),
        ("rediss://h:1?ssl_cert_reqs=never", "none, optional or required"),
    ],
)
def test_what_is_wrong_is_said_without_a_password(tmp_path: Path, url: str, said: str) -> None:
    data = good() | {"store": {"cache_url": url}}
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, data), {})
    text = str(error.value)
    assert text.startswith("store.cache_url: ")
    assert said in text
    assert ":geheim" not in text
    assert "wort@" not in text


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    data = good() | {"store": {"url": "rediss://h:1?ssl_ca_certs=/nowhere/ca.crt"}}
    with pytest.raises(ConfigError, match=r"^store.url: ssl_ca_certs names /nowhere/ca.crt"):
        load(write(tmp_path, data), {})


def test_passwords_of_all_kinds_are_masked() -> None:
    assert mask_url("redis+sentinel://u:p@a:1,b:2/m?sentinel_password=q&db=1") == (
        "redis+sentinel://u:***@a:1,b:2/m?sentinel_password=***&db=1"
    )
    assert mask_url("redis+cluster://:p@a:1,b:2") == "redis+cluster://:***@a:1,b:2"
    assert mask_url("rediss://:p/w@d@h:1/0") == "rediss://:***@h:1/0"


def test_the_url_can_come_from_a_file_that_is_watched(tmp_path: Path) -> None:
    url = "redis://:geheim@redis:6379/0"
    (tmp_path / "store-url").write_text(f"{url}\n")
    settings = load(write(tmp_path, good() | {"store": {"url_file": "store-url"}}), {})
    assert settings.store.url == url
    assert tmp_path / "store-url" in {path for _, path, _ in secret_files(settings)}
    assert masked(settings)["store"]["url"] == "redis://:***@redis:6379/0"


@pytest.mark.parametrize(
    ("text", "said"), [("", "holds 0 characters"), ("http://:geheim@h", "must be a URL such as")]
)
def test_a_wrong_file_is_named_without_what_it_holds(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "store-url").write_text(text)
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, good() | {"store": {"url_file": "store-url"}}), {})
    assert str(error.value).startswith(f"store.url_file: {tmp_path / 'store-url'} ")
    assert said in str(error.value)
    assert "geheim" not in str(error.value)
