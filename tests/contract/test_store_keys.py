"""Keys that are written down, and put back into a store that lost them."""

from __future__ import annotations

import io
import json
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
import yaml

from gateway.auth import bootstrap, manage
from gateway.auth.keys import digest, make_key
from gateway.auth.register import CreatedKey, KeyRegister
from gateway.auth.transfer import WrongLines
from gateway.store.once import NoWatcher
from gateway.store.redis import Store
from r1 import cli
from tests.contract.stack import RedisServer


@dataclass
class Shelf:
    """A store with keys, and what a gateway knows of it."""

    folder: Path
    url: str
    pepper: Path
    client: Any

    def make(self, name: str = "shop", **terms: Any) -> CreatedKey:
        return manage.create_key(self.url, self.pepper, name=name, tenant="acme", **terms)

    def write_down(self) -> list[str]:
        return manage.export_keys(self.url, self.pepper)

    def put_back(self, lines: list[str], *, overwrite: bool = False) -> list[str]:
        results = manage.import_keys(self.url, self.pepper, lines, overwrite=overwrite)
        return [each.outcome for each in results]

    def all(self) -> dict[str, str]:
        """Everything that the store holds of keys, as text."""
        held = {key: str(self.client.get(key)) for key in self.client.keys("r1:key:*")}
        return held | {"index": str(sorted(self.client.hgetall("r1:keys").items()))}

    def place(self, key: str) -> str:
        return "r1:key:" + digest(key, self.pepper.read_bytes())


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    server = RedisServer(tmp_path)
    pepper = tmp_path / "pepper.key"
    pepper.write_text("p" * 32)
    with redis_client.Redis.from_url(server.url, decode_responses=True) as client:
        yield Shelf(tmp_path, server.url, pepper, client)
    server.end()


def test_what_was_written_down_is_put_back_as_it_was(shelf: Shelf) -> None:
    first = shelf.make(rpm=5, usd_per_day=1.5, models=("r1-nano",), expires=4_000_000_000)
    turned = shelf.make("turned")
    newer = manage.rotate_key(shelf.url, shelf.pepper, turned.record.id, overlap_s=100)
    assert newer is not None
    lines, before = shelf.write_down(), shelf.all()
    assert len(lines) == 2
    assert not any(key in line for line in lines for key in (first.key, turned.key, newer.key))
    # What is there is left alone.
    assert shelf.put_back(lines) == ["unchanged", "unchanged"]
    shelf.client.flushall()
    assert shelf.put_back([*lines, ""]) == ["restored", "restored"]
    assert shelf.all() == before
    leaving_s = shelf.client.ttl(shelf.place(turned.key))
    assert 86400 < leaving_s <= 86400 + 101
    assert shelf.client.ttl(shelf.place(newer.key)) == -1
    assert shelf.put_back(lines) == ["unchanged", "unchanged"]


def test_only_what_was_lost_comes_back_unless_it_is_to_be_overwritten(shelf: Shelf) -> None:
    kept, evicted, rotated, revoked = [shelf.make(name) for name in "abcd"]
    lines = shelf.write_down()
    shelf.client.delete(shelf.place(evicted.key))
    newer = manage.rotate_key(shelf.url, shelf.pepper, rotated.record.id, overlap_s=0)
    assert newer is not None
    manage.revoke_key(shelf.url, shelf.pepper, revoked.record.id)
    order = [json.loads(line)["name"] for line in lines]
    assert dict(zip(order, shelf.put_back(lines), strict=True)) == {
        "a": "unchanged",
        "b": "restored",
        "c": "differs",
        "d": "restored",
    }
    assert shelf.client.exists(shelf.place(newer.key))
    assert not shelf.client.exists(shelf.place(rotated.key))
    with shelf.client.pubsub(ignore_subscribe_messages=True) as told:
        told.subscribe("r1:keys:revoked")
        told.get_message(timeout=1)
        assert shelf.put_back(lines, overwrite=True).count("restored") == 1
        heard = {each["data"] for _ in range(2) if (each := told.get_message(timeout=5))}
    # Workers forget the text that was there.
    assert heard == {shelf.place(rotated.key), shelf.place(newer.key)}
    assert not shelf.client.exists(shelf.place(newer.key))
    assert shelf.client.exists(shelf.place(kept.key))


def test_a_text_is_one_keys_only_and_what_is_long_over_stays_so(shelf: Shelf) -> None:
    shelf.make()
    line = json.loads(shelf.write_down()[0])
    other = {**line, "id": "key_" + "0" * 16}
    assert shelf.put_back([json.dumps(other)], overwrite=True) == ["taken"]
    shelf.client.flushall()
    over = {**line, "texts": [{**line["texts"][0], "retires": int(time.time()) - 90_000}]}
    assert shelf.put_back([json.dumps(over)]) == ["ended"]
    assert shelf.client.keys("*") == []


def test_wrong_lines_are_named_and_nothing_is_written(shelf: Shelf) -> None:
    shelf.make()
    good = shelf.write_down()[0]
    fields = json.loads(good)
    shelf.client.flushall()
    wrong = [
        good,
        "",
        "nonsense",
        json.dumps({**fields, "id": "key_" + "1" * 16, "rpm": 0}),
        json.dumps({**fields, "id": "key_" + "2" * 16, "secret": "r1-x"}),
        json.dumps({**fields, "id": "key_" + "3" * 16, "texts": [{"hash": "abc", "hint": ""}]}),
        json.dumps({**fields, "id": "key_" + "4" * 16, "pepper": "0" * 12}),
        good,
    ]
    with pytest.raises(WrongLines) as error:
        shelf.put_back(wrong)
    said = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in said] == [f"line {n}" for n in (3, 4, 5, 6, 7, 7, 8)]
    for words in (
        "rpm",
        "secret: is not a known field",
        "texts.0.hash",
        "another pepper",
        "line 1",
    ):
        assert any(words in line for line in said), words
    assert "r1-x" not in str(error.value)
    assert shelf.client.keys("*") == []


def test_the_command(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = shelf.folder / "gateway.yaml"
    upstreams = [{"url": "http://127.0.0.1:1"}]
    settings = {
        "store": {"url": shelf.url},
        "auth": {"pepper_file": "pepper.key"},
        "models": [{"id": "m", "upstreams": upstreams}],
    }
    config.write_text(yaml.safe_dump(settings))
    made = shelf.make("läden\u2028")
    keys = ["keys", "--config", str(config)]
    assert cli.main([*keys, "export"]) == 0
    lines = capsys.readouterr().out
    shelf.client.flushall()
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert cli.main([*keys, "import", "-"]) == 0
    assert capsys.readouterr().out == "restored 1, there already 0, left alone 0\n"
    manage.rotate_key(shelf.url, shelf.pepper, made.record.id, overlap_s=0)
    file = shelf.folder / "keys.jsonl"
    file.write_text(lines, encoding="utf-8")
    assert cli.main([*keys, "import", str(file)]) == 0
    assert "--overwrite takes this one" in capsys.readouterr().out
    file.write_text("{}")
    assert cli.main([*keys, "import", str(file)]) == 1
    assert "r1 keys: line 1: name: is missing" in capsys.readouterr().err
    assert cli.main([*keys, "import", str(shelf.folder / "none")]) == 1


async def test_declared_keys_come_back_after_a_flush_but_not_after_a_revocation(
    shelf: Shelf,
) -> None:
    file = shelf.folder / "declared.yaml"
    text = make_key(random.choice)
    file.write_text(f"keys:\n  - {{name: shop, tenant: acme, key: {text}}}\n")
    store = Store(shelf.url, timeout_s=5, watcher=NoWatcher())
    register = KeyRegister(store, shelf.pepper.read_bytes(), time.time)
    there: list[bool] = []

    async def between_looks(seconds: float) -> None:
        there.append(await register.find(register.address(text)) is not None)
        if len(there) == 1:
            (state,) = await register.all()
            await register.revoke(state.record.id)
        elif len(there) == 2:
            shelf.client.flushall()
        else:
            raise EOFError

    declared, log = bootstrap.read(file), logging.getLogger("test")
    try:
        with pytest.raises(EOFError):
            await bootstrap.keep_declared(register, declared, log, between_looks)
    finally:
        await store.close()
    assert there == [True, False, True]
