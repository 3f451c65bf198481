from pathlib import Path

from r1.stack.redis_server import redis_config, redis_url


def test_the_store_listens_on_loopback_and_asks_for_a_password() -> None:
    lines = redis_config(20004, Path("/s"), "secret").splitlines()
    assert "bind 127.0.0.1" in lines
    assert "port 20004" in lines
    assert "requirepass secret" in lines


def test_every_write_is_logged_so_that_keys_survive_a_kill() -> None:
    lines = redis_config(20004, Path("/s"), "secret").splitlines()
    assert {"appendonly yes", "appendfsync everysec", 'dir "/s"'} <= set(lines)


def test_the_url_carries_the_password() -> None:
    assert redis_url(20004, "secret") == "redis://:secret@127.0.0.1:20004/0"
