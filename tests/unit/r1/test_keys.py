import argparse
from pathlib import Path

import pytest

from gateway.auth.keys import KeyRecord
from gateway.auth.register import CreatedKey, KeyState
from gateway.auth.terms import NewKey, Terms
from r1 import cli, keys
from r1.stack.home import Home

RECORD = KeyRecord(
    "key_1", "shop", "acme", 1_800_000_000, "r1-abcd…", None, Terms(rpm=60, models=("r1-nano",))
)


class Stack:
    """Stands for a running stack: remembers what was asked of its keys."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.made: list[NewKey] = []
        self.rotated: list[tuple[str, float]] = []
        self.known = {"key_1"}
        (folder / "secrets").mkdir()
        home = Home(folder)
        home.secret_file("store.password").write_text("secret")
        status = argparse.Namespace(ports={"store": 1})
        monkeypatch.setattr(keys, "find", lambda base: (home, status))
        monkeypatch.setattr(keys, "create_key", self.create)
        monkeypatch.setattr(keys, "rotate_key", self.rotate)
        monkeypatch.setattr(keys, "list_keys", lambda *where: [KeyState(RECORD, 1_800_000_000)])
        monkeypatch.setattr(keys, "show_key", self.show)
        monkeypatch.setattr(keys, "revoke_key", lambda url, pepper, key: key in self.known)

    def create(self, url: str, pepper: Path, *, name: str, tenant: str, **terms: object):  # type: ignore[no-untyped-def]
        self.made.append(NewKey.model_validate({"name": name, "tenant": tenant, **terms}))
        return CreatedKey("r1-new", RECORD)

    def rotate(self, url: str, pepper: Path, key: str, *, overlap_s: float) -> CreatedKey | None:
        self.rotated.append((key, overlap_s))
        return CreatedKey("r1-newer", RECORD) if key in self.known else None

    def show(self, url: str, pepper: Path, key: str) -> list[KeyState]:
        leaving = KeyRecord("key_1", "shop", "acme", 1, "r1-old0…", 1_900_000_000)
        return [KeyState(RECORD, None), KeyState(leaving, None)] if key in self.known else []


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    return Stack(monkeypatch, tmp_path)


def test_create_gives_all_terms(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "keys create --name shop --tenant acme --models r1-nano other --scopes inference admin "
        "--rpm 60 --tpm 9000 --parallel 4 --usd-per-day 1.5 --usd-per-month 20 "
        "--reasoning-tokens-per-day 1000 --reasoning-tokens-per-month 5000 "
        "--expires 2027-01-31T12:00:00Z --priority low"
    )
    assert cli.main(words.split()) == 0
    assert capsys.readouterr().out.splitlines()[0] == "r1-new"
    (made,) = stack.made
    assert made == NewKey(
        name="shop",
        tenant="acme",
        models=("r1-nano", "other"),
        scopes=("inference", "admin"),
        rpm=60,
        tpm=9000,
        parallel=4,
        usd_per_day=1.5,
        usd_per_month=20,
        reasoning_tokens_per_day=1000,
        reasoning_tokens_per_month=5000,
        expires=1801396800,
        priority="low",
    )


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("--rpm 0", "rpm"),
        ("--tpm many", "tpm"),
        ("--scopes root", "scopes.0"),
        ("--expires soon", "expires"),
        ("--priority vip", "priority"),
    ],
)
def test_a_wrong_term_is_named(
    stack: Stack, capsys: pytest.CaptureFixture[str], option: str, field: str
) -> None:
    assert cli.main(["keys", "create", "--name", "shop", *option.split()]) == 1
    assert capsys.readouterr().err.startswith(f"r1 keys: {field}: ")


def test_list_and_show(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "list"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("key_1  r1-abcd…")
    assert line.endswith("acme  shop")
    assert cli.main(["keys", "show", "key_1"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (shown["rpm"], shown["models"], shown["scopes"]) == ("60", "r1-nano", "inference")
    assert "tpm" not in shown
    assert shown["works"].endswith("r1-old0…")


def test_rotate_and_revoke(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "rotate", "key_1", "--overlap", "30m"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "r1-newer"
    assert cli.main(["keys", "rotate", "key_1"]) == 0
    assert stack.rotated == [("key_1", 1800.0), ("key_1", 86400.0)]
    assert cli.main(["keys", "revoke", "key_1"]) == 0
    for action in ("show", "rotate", "revoke"):
        assert cli.main(["keys", action, "key_9"]) == 1
        assert "no key has the id key_9" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["keys", "rotate", "key_1", "--overlap", "soon"])
