"""The release's Secret: what is made, and that nothing that is there is ever changed."""

import base64
import json
import random
import urllib.error
from email.message import Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.bootstrap import BootstrapFile
from gateway.auth.keys import is_well_formed
from r1.kubernetes.fill_secret import fill
from r1.kubernetes.secret import API_KEY, BOOTSTRAP_KEYS, RANDOM, FirstKey, missing

FIRST = FirstKey("acme", "the first: #1")
ALL = {*RANDOM, API_KEY, BOOTSTRAP_KEYS}


def plain(value: str) -> str:
    return base64.b64decode(value).decode()


def test_an_empty_secret_gets_everything() -> None:
    made = missing({}, FIRST, random.Random(1).choice)
    assert set(made) == ALL
    assert len({plain(made[name]) for name in RANDOM}) == len(RANDOM)
    assert all(len(plain(made[name])) == 64 for name in RANDOM)


def test_the_first_key_is_declared_as_the_gateway_reads_it() -> None:
    made = missing({}, FIRST, random.Random(1).choice)
    key = plain(made[API_KEY])
    assert is_well_formed(key)
    (declared,) = BootstrapFile.model_validate(json.loads(plain(made[BOOTSTRAP_KEYS]))).keys
    assert (declared.tenant, declared.name, declared.key) == ("acme", "the first: #1", key)


def test_an_api_key_that_was_read_and_taken_out_does_not_come_back() -> None:
    full = missing({}, FIRST, random.Random(1).choice)
    del full[API_KEY]
    assert missing(full, FIRST, random.Random(2).choice) == {}


def test_keys_of_the_users_own_are_declared_in_place_of_a_new_one() -> None:
    key = missing({}, FIRST, random.Random(1).choice)[API_KEY]
    made = missing({API_KEY: key}, FIRST, random.Random(2).choice)
    assert made[API_KEY] == key
    assert json.loads(plain(made[BOOTSTRAP_KEYS]))["keys"][0]["key"] == plain(key)


@given(st.sets(st.sampled_from(sorted(ALL - {API_KEY}))))
def test_what_is_there_is_never_touched(there: set[str]) -> None:
    data = {name: base64.b64encode(name.encode()).decode() for name in there}
    made = missing(data, FIRST, random.Random(1).choice)
    assert not there & set(made)
    assert missing({**data, **made}, FIRST, random.Random(2).choice) == {}


class Api:
    """A Secret with versions; `beside` is done by somebody else before the next patch."""

    def __init__(self, beside: list[dict[str, str]] | None = None) -> None:
        self.data: dict[str, str] | None = None
        self.version = 1
        self.beside = beside or []

    def ask(self, method: str, patch: dict[str, Any] | None) -> dict[str, Any]:
        found = {"metadata": {"resourceVersion": str(self.version)}}
        if method == "GET":
            return found if self.data is None else {**found, "data": dict(self.data)}
        assert patch is not None
        if self.beside:
            self.write(self.beside.pop(0))
        if patch["metadata"]["resourceVersion"] != str(self.version):
            raise urllib.error.HTTPError("", 409, "Conflict", Message(), None)
        self.write(patch["data"])
        return {}

    def write(self, data: dict[str, str]) -> None:
        self.data = {**(self.data or {}), **data}
        self.version += 1


def test_a_secret_is_filled_once() -> None:
    api = Api()
    assert fill(api.ask, FIRST) == sorted(ALL)
    first = dict(api.data or {})
    assert fill(api.ask, FIRST) == []
    assert api.data == first


def test_two_at_once_agree() -> None:
    other = missing({}, FIRST, random.Random(7).choice)
    api = Api(beside=[other])
    assert fill(api.ask, FIRST) == []
    assert api.data == other


def test_who_is_always_late_gives_up() -> None:
    api = Api(beside=[{"someone": str(number)} for number in range(20)])
    with pytest.raises(urllib.error.HTTPError):
        fill(api.ask, FIRST)
