"""How a replica finds its own address."""

from types import SimpleNamespace
from typing import Any

from serving.engine.ray_replica import Standing, _read


def replica(port: int | None, prefix: str | None = "/m", *, leaving: bool = False) -> Any:
    return SimpleNamespace(_http_port=port, _route_prefix=prefix, _shutting_down=leaving)


def test_the_address_has_the_route_prefix() -> None:
    assert _read(replica(30001), "10.0.0.7") == Standing("http://10.0.0.7:30001/m", leaving=False)
    assert _read(replica(30001, leaving=True), "10.0.0.7") == Standing(
        "http://10.0.0.7:30001/m", leaving=True
    )


def test_it_may_be_ipv6_and_without_prefix() -> None:
    assert _read(replica(1, "/"), "fd00::7") == Standing("http://[fd00::7]:1", leaving=False)
    assert _read(replica(1, None), "fd00::7") == Standing("http://[fd00::7]:1", leaving=False)


def test_there_is_none_before_the_server_listens() -> None:
    assert _read(replica(None), "10.0.0.7") is None
