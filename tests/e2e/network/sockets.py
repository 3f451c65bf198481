"""A pod's connections, read from its /proc/net/tcp and tcp6 (proc(5)). Pure."""

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_LISTEN = 0x0A
_CLOSED = (0x07, _LISTEN)


@dataclass(frozen=True)
class Sockets:
    """What a pod listens on (loopback left out) and the two ends of each of its connections."""

    listening: frozenset[int]
    connections: frozenset[tuple[str, int, str, int]]
    """Own address, own port, the other's address, the other's port."""


def read(text: str) -> Sockets:
    """Of the contents of both files, one behind the other."""
    listening, connections = set(), set()
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4 or not words[0].rstrip(":").isdigit():
            continue
        own, other = _address(words[1]), _address(words[2])
        state = int(words[3], 16)
        if ipaddress.ip_address(own[0]).is_loopback:
            continue
        if state == _LISTEN:
            listening.add(own[1])
        elif state not in _CLOSED and own[0] != other[0]:
            connections.add((*own, *other))
    return Sockets(frozenset(listening), frozenset(connections))


def _address(text: str) -> tuple[str, int]:
    """`0100007F:1F90`, the address in words of the machine's byte order."""
    words, _, port = text.partition(":")
    size = len(words) // 8
    packed = struct.pack(f"={size}I", *(int(words[8 * i : 8 * i + 8], 16) for i in range(size)))
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


def flows(seen: Mapping[str, Sockets]) -> set[tuple[str, str, int]]:
    """Who connected to whom, at which port: addresses, from the sockets of pods by their address.

    The end that listens is the target. Between two pods of which neither listens any more nothing
    can be said; anybody else whom a pod did not listen for was called by it.
    """
    found = set()
    for ip, sockets in seen.items():
        for _, own_port, other, other_port in sockets.connections:
            if own_port in sockets.listening:
                found.add((other, ip, own_port))
            elif other not in seen or other_port in seen[other].listening:
                found.add((ip, other, other_port))
    return found
