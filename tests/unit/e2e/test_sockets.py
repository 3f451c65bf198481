"""Connections read from /proc/net/tcp."""

import socket
from pathlib import Path

from tests.e2e.network.sockets import Sockets, flows, read

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
TCP = HEAD + (
    "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001 0 1 1\n"
    "   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001 0 1 1\n"
    "   2: 0A00F40A:1F90 0B00F40A:C350 01 00000000:00000000 00:00000000 00000000 10001 0 1 1\n"
    "   3: 0A00F40A:C351 0C00F40A:18EB 06 00000000:00000000 00:00000000 00000000 10001 0 1 1\n"
    "   4: 0100007F:C351 0100007F:18EB 01 00000000:00000000 00:00000000 00000000 10001 0 1 1\n"
    "   5: 0A00F40A:C352 0A00F40A:1F90 01 00000000:00000000 00:00000000 00000000 10001 0 1 1\n"
)
TCP6 = HEAD + (
    "   0: 00000000000000000000000000000000:1F92 00000000000000000000000000000000:0000 0A 0:0 0:0\n"
    "   1: 0000000000000000FFFF00000A00F40A:1F92 0000000000000000FFFF00000B00F40A:C353 01 0:0 0:0\n"
)


def test_what_is_listened_on_and_who_is_connected() -> None:
    assert read(TCP + TCP6) == Sockets(
        frozenset({8080, 8082}),
        frozenset(
            {
                ("10.244.0.10", 8080, "10.244.0.11", 50000),
                ("10.244.0.10", 50001, "10.244.0.12", 6379),
                ("10.244.0.10", 8082, "10.244.0.11", 50003),
            }
        ),
    )


def test_this_machines_own_file_is_read() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert server.getsockname()[1] in read(Path("/proc/net/tcp").read_text()).listening


def sockets(listening: set[int], *connections: tuple[str, int, str, int]) -> Sockets:
    return Sockets(frozenset(listening), frozenset(connections))


def test_the_end_that_listens_is_the_target_whoever_was_seen() -> None:
    client, server = "10.0.0.1", "10.0.0.2"
    seen = {
        client: sockets(set(), (client, 50000, server, 80)),
        server: sockets({80}, (server, 80, client, 50000)),
    }
    assert flows(seen) == {(client, server, 80)}


def test_an_address_that_is_no_pod_was_called_unless_the_pod_listens() -> None:
    pod, other = "10.0.0.1", "10.96.0.1"
    assert flows({pod: sockets(set(), (pod, 50000, other, 443))}) == {(pod, other, 443)}
    assert flows({pod: sockets({80}, (pod, 80, other, 41000))}) == {(other, pod, 80)}


def test_where_nobody_listens_any_more_nothing_is_said() -> None:
    one, other = "10.0.0.1", "10.0.0.2"
    seen = {
        one: sockets(set(), (one, 80, other, 50000)),
        other: sockets(set(), (other, 50000, one, 80)),
    }
    assert flows(seen) == set()
