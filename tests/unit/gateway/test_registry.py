"""What the registry's entries say."""

from __future__ import annotations

import json

from gateway.upstream.registry import Replica, parse


def entry(**told: object) -> str:
    return json.dumps({"capacity": 8, "state": "ready", "adapters": ["sql"], **told})


def test_an_entry_is_a_replica() -> None:
    assert parse([("3", "http://10.0.0.1:8000/", entry())]) == [
        Replica("replica-3", "http://10.0.0.1:8000", 8, draining=False, adapters=("sql",))
    ]


def test_what_else_a_replica_tells_does_no_harm() -> None:
    told = entry(load=3, kv_used=0.5, prefix_hits=0.25, zone={"a": [1]})
    assert parse([("1", "http://a", told)])[0].capacity == 8


def test_what_is_not_known_takes_nothing_new() -> None:
    states = [entry(state="draining"), entry(state="pondering"), "{}"]
    assert all(parse([("1", "http://a", text)])[0].draining for text in states)


def test_what_can_not_be_read_is_left_out() -> None:
    rows = [
        ("1", "http://a", "{"),
        ("2", "http://b", "[]"),
        ("3", "file:///etc/passwd", entry()),
        ("3", "http://name:secret@c", entry()),
        ("3", "http://[c", entry()),
        ("4", "http://d", entry(capacity="many", adapters=None)),
    ]
    assert parse(rows) == [Replica("replica-4", "http://d", None, draining=False, adapters=())]
