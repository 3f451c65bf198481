"""Faults are undone whatever happens, and a wire disturbs as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from loadtests.chaos.catalog import catalog
from loadtests.chaos.faults import Common, broken
from loadtests.chaos.wire import WELL, State, Wire
from loadtests.gateways.targets import free_port

PIECE = bytes(range(100))


@dataclass
class Noted(Common):
    """Notes what is done with it."""

    name: str = "noted"
    fails: bool = False
    seen: list[str] = field(default_factory=list)

    def begin(self, stage: object) -> None:
        self.seen.append("begin")
        if self.fails:
            raise OSError("half of it")

    def end(self, stage: object) -> None:
        self.seen.append("end")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, AssertionError])
def test_a_fault_is_undone_whatever_happens(error: type[BaseException]) -> None:
    fault = Noted()
    with pytest.raises(error), broken(fault, cast("Any", None)):
        raise error
    assert fault.seen == ["begin", "end"]


def test_a_fault_that_begins_by_half_is_undone_too() -> None:
    fault = Noted(fails=True)
    with pytest.raises(OSError, match="half"), broken(fault, cast("Any", None)):
        raise AssertionError("it did not begin")
    assert fault.seen == ["begin", "end"]


def test_faults_have_names_of_their_own_and_bounds() -> None:
    names = [fault.name for fault in catalog()]
    assert len(set(names)) == len(names)
    assert all(0 < fault.hold_s <= 60 for fault in catalog())


@contextmanager
def wired() -> Iterator[tuple[Wire, socket.socket]]:
    """A wire before a server that says PIECE for each byte that it hears, and a caller."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            while peer.recv(1):
                peer.sendall(PIECE)

    thread = threading.Thread(target=serve)
    thread.start()
    wire = Wire(free_port(), server.getsockname()[1], seed=1)
    try:
        with socket.create_connection(("127.0.0.1", wire.port), timeout=10) as caller:
            yield wire, caller
    finally:
        wire.close()
        thread.join()
        server.close()


def heard(caller: socket.socket) -> bytes:
    """What comes in answer to a byte until the connection is over."""
    data = b""
    with suppress(ConnectionError):
        caller.sendall(b"x")
        while len(data) < len(PIECE) and (more := caller.recv(4096)):
            data += more
    return data


def test_a_wire_passes_everything_on_until_it_is_disturbed() -> None:
    with wired() as (wire, caller):
        assert heard(caller) == PIECE
        wire.state = State(noise=1.0)
        noisy = heard(caller)
        assert len(noisy) == len(PIECE)
        changed = [place for place in range(len(PIECE)) if noisy[place] != PIECE[place]]
        assert {noisy[place] for place in changed} == {0xFF}
        assert changed == list(range(changed[0], changed[0] + len(changed)))
        wire.state = WELL
        assert heard(caller) == PIECE


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_wire_is_cut(by_hand: bool) -> None:
    with wired() as (wire, caller):
        assert heard(caller) == PIECE
        if by_hand:
            wire.reset_all()
        else:
            wire.state = State(cuts=1.0)
        assert heard(caller) == b""
