"""Keys: their terms, what they may do, and the file that declares them."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from gateway.auth import bootstrap
from gateway.auth.authenticate import Authenticator
from gateway.auth.cache import KeyCache
from gateway.auth.keys import KeyRecord, make_key
from gateway.auth.permit import may_use, permit
from gateway.auth.terms import NewKey, Terms
from gateway.config import ConfigError
from gateway.errors import Forbidden, Unauthorized
from gateway.main import main
from gateway.model_settings import ModelSettings

RECORD = KeyRecord("key_1", "shop", "acme", 1, "r1-abcd…")
MODEL = ModelSettings.model_validate(
    {"id": "r1-nano", "aliases": ["deepseek-r1"], "upstreams": [{"url": "http://127.0.0.1:1"}]}
)


def test_a_record_of_an_older_version_is_read() -> None:
    old = {"id": "key_1", "name": "shop", "tenant": "acme", "created": 1, "hint": "r1-abcd…"}
    assert KeyRecord.load(json.dumps(old)) == RECORD
    newer = json.loads(RECORD.dump()) | {"shoe_size": 44}
    assert KeyRecord.load(json.dumps(newer)) == RECORD


def test_a_record_keeps_its_terms() -> None:
    new = NewKey(name="n", tenant="t", rpm=1, usd_per_day=0.25, scopes=("batch",), expires=9)
    record = KeyRecord("i", "n", "t", 1, "h", 7, new.terms())
    assert KeyRecord.load(record.dump()) == record
    assert record.public()["usd_per_day"] == 0.25


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("2027-01-31", 1801353600),
        ("2027-01-31T12:00:00Z", 1801396800),
        ("2027-01-31T13:00:00+01:00", 1801396800),
        (1801396800, 1801396800),
    ],
)
def test_an_expiry_is_a_day_a_time_or_seconds(given: Any, seconds: int) -> None:
    assert Terms(expires=given).expires == seconds


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rpm", 0),
        ("tpm", 1.5),
        ("parallel", 10**13),
        ("usd_per_day", 0),
        ("usd_per_month", "much"),
        ("reasoning_tokens_per_day", -1),
        ("scopes", []),
        ("scopes", ["root"]),
        ("priority", "vip"),
        ("expires", "soon"),
        ("models", [""]),
        ("name", "tab\tbed"),
        ("speed", 1),
    ],
)
def test_a_wrong_term_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as error:
        NewKey.model_validate({"name": "n", field: value})
    assert error.value.errors()[0]["loc"][0] == field


def test_what_has_to_be_counted_before_an_answer() -> None:
    assert not Terms(models=("a",), expires=1, priority="low").bounded
    for one in (
        Terms(rpm=1),
        Terms(tpm=1),
        Terms(parallel=1),
        Terms(usd_per_month=1),
        Terms(reasoning_tokens_per_day=1),
    ):
        assert one.bounded


def with_terms(**terms: Any) -> KeyRecord:
    return KeyRecord("key_1", "shop", "acme", 1, "r1-abcd…", None, Terms(**terms))


def test_models_and_scopes() -> None:
    permit(RECORD, MODEL)
    for name in ("r1-nano", "deepseek-r1"):
        permit(with_terms(models=(name, "x")), MODEL)
    elsewhere = with_terms(models=("x",))
    assert not may_use(elsewhere, MODEL)
    with pytest.raises(Forbidden) as error:
        permit(elsewhere, MODEL)
    assert (error.value.code, error.value.param) == ("model_not_allowed", "model")
    with pytest.raises(Forbidden) as error:
        permit(with_terms(scopes=("admin", "batch")), MODEL)
    assert error.value.code == "missing_scope"


class Register:
    """A register that counts what it is asked."""

    def __init__(self, record: KeyRecord) -> None:
        self.record = record
        self.asked = 0

    def address(self, key: str) -> str:
        return key

    async def find(self, address: str) -> KeyRecord | None:
        self.asked += 1
        return self.record


class Watcher:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def auth_failed(self, reason: str) -> None:
        self.reasons.append(reason)


async def test_an_ended_key_is_refused_without_asking_the_store_again() -> None:
    clock, wall = [0.0], [100.0]
    register, watcher = Register(with_terms(expires=105)), Watcher()
    cache = KeyCache(size=10, ttl_s=1000, stale_s=0)
    arguments: Any = (register, cache, watcher, lambda: clock[0], lambda: wall[0])
    check, key = Authenticator(*arguments), f"Bearer {make_key(secrets.choice)}"
    check._subscribed()
    await check(key)
    wall[0] = 105.0
    for _ in range(3):
        with pytest.raises(Unauthorized, match="expired"):
            await check(key)
    assert (register.asked, watcher.reasons) == (1, ["expired"] * 3)
    register.record = KeyRecord("key_1", "shop", "acme", 1, "r1-abcd…", retires=104)
    with pytest.raises(Unauthorized):
        await check(f"Bearer {make_key(secrets.choice)}")


async def test_a_hundred_thousand_malformed_keys_cost_no_look_up() -> None:
    register, watcher = Register(RECORD), Watcher()
    arguments: Any = (register, KeyCache(size=10, ttl_s=1, stale_s=0), watcher, float, float)
    check = Authenticator(*arguments)
    for number in range(100_000):
        # A right form and a wrong checksum: what a guesser would send.
        with pytest.raises(Unauthorized):
            await check(f"Bearer r1-{number:038d}")
    assert register.asked == 0
    assert len(watcher.reasons) == 100_000


GOOD = make_key(secrets.choice)


def write(folder: Path, data: Any) -> Path:
    file = folder / "keys.yaml"
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return file


def test_a_bootstrap_file_is_read(tmp_path: Path) -> None:
    assert bootstrap.read(None) == ()
    assert bootstrap.read(write(tmp_path, "")) == ()
    keys = [
        {"name": "shop", "tenant": "acme", "key": GOOD, "rpm": 60},
        {"name": "desk", "hash": "ab" * 32, "scopes": ["admin"]},
    ]
    shop, desk = bootstrap.read(write(tmp_path, {"keys": keys}))
    assert (shop.name, shop.terms()) == ("shop", Terms(rpm=60))
    assert (desk.tenant, desk.terms()) == ("default", Terms(scopes=("admin",)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("keys: [", "is not valid YAML"),
        ({"key": []}, "key: is not a known field"),
        ({"keys": [{"key": GOOD}]}, "keys.0.name: is missing"),
        ({"keys": [{"name": "n"}]}, "keys.0: give one of key and hash"),
        ({"keys": [{"name": "n", "key": GOOD, "hash": "ab" * 32}]}, "keys.0: give one of"),
        ({"keys": [{"name": "n", "key": GOOD[:-1] + "!"}]}, "keys.0.key: is not the text of a"),
        ({"keys": [{"name": "n", "hash": "xyz"}]}, "keys.0.hash: "),
        ({"keys": [{"name": "n", "key": GOOD, "rpm": 0}]}, "keys.0.rpm: "),
        (
            {"keys": [{"name": "n", "key": GOOD}, {"name": "n", "hash": "ab" * 32}]},
            "keys.1: 'n' of tenant 'default' has the name",
        ),
        (
            {"keys": [{"name": "n", "key": GOOD}, {"name": "m", "key": GOOD}]},
            "keys.1: 'm' of tenant 'default' has the name or the text",
        ),
    ],
)
def test_a_fault_in_a_bootstrap_file_ends_the_start_and_names_the_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: Any, said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        bootstrap.read(write(tmp_path, data))
    assert str(error.value).startswith("auth.bootstrap_file: ")
    assert said in str(error.value)
    (tmp_path / "pepper.key").write_text("p" * 32)
    settings = {
        "auth": {"pepper_file": "pepper.key", "bootstrap_file": "keys.yaml"},
        "models": [{"id": "m", "upstreams": [{"url": "http://127.0.0.1:1"}]}],
    }
    config = tmp_path / "gateway.yaml"
    config.write_text(yaml.safe_dump(settings))
    assert main(["check", "--config", str(config)]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    # Not even a wrong key is shown: most of it may be right.
    assert GOOD[:-1] not in shown.err + shown.out


def test_a_bootstrap_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"auth.bootstrap_file: .*none.yaml can't be read"):
        bootstrap.read(tmp_path / "none.yaml")
