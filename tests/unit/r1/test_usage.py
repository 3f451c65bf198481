import argparse
import json
from datetime import date
from pathlib import Path

import pytest

from gateway.limits.usage import UsageRow
from r1 import cli, usage
from r1.stack.home import Home

ROWS = [
    UsageRow("2027-01-01", "acme", "key_1", "r1-nano", 3, 1, 10, 20, 30, 15, 1_234_567_890),
    UsageRow("2027-01-02", "acme", "key_1", "r1-nano", 1),
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[date, date, str | None]]:
    calls: list[tuple[date, date, str | None]] = []
    (tmp_path / "secrets").mkdir()
    home = Home(tmp_path)
    home.secret_file("store.password").write_text("secret")
    status = argparse.Namespace(ports={"store": 1})

    def read(url: str, first: date, last: date, key: str | None) -> list[UsageRow]:
        calls.append((first, last, key))
        if last < first:
            raise ValueError("must span 1 to 366 days")
        return ROWS

    monkeypatch.setattr(usage, "find", lambda base: (home, status))
    monkeypatch.setattr(usage, "read_usage", read)
    return calls


def test_the_three_forms(
    asked: list[tuple[date, date, str | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    span = ["--from", "2027-01-01", "--to", "2027-01-02", "--key", "key_1"]
    assert cli.main(["usage", *span]) == 0
    head, first, _ = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["day", "tenant", "key_id", "model", "requests"]
    assert first.split()[-1] == "1.234567890"
    assert cli.main(["usage", *span, "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "2027-01-01,acme,key_1,r1-nano,3,1,10,20,30,15,1.234567890"
    assert cli.main(["usage", *span, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [row.public() for row in ROWS]
    assert asked == [(date(2027, 1, 1), date(2027, 1, 2), "key_1")] * 3


def test_a_wrong_span_is_named(
    asked: list[tuple[date, date, str | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["usage", "--from", "2027-01-02", "--to", "2027-01-01"]) == 1
    assert "--from and --to must span" in capsys.readouterr().err
