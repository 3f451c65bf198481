"""The configuration's files: what they are, when they changed, what can't change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import ConfigError, remarks
from gateway.main import check
from gateway.reload import check_fixed, marks, read
from gateway.settings import Settings
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import FAMILIES, Metrics
from gateway.telemetry.sheet import Sheet
from gateway.telemetry.tally import Tally


def write(folder: Path, **changes: Any) -> Path:
    for name in ("pepper", "admin", "engine"):
        (folder / f"{name}.key").write_text(name[0] * 32)
    (folder / "keys.yaml").write_text("keys: []")
    data = {
        "auth": {"pepper_file": "pepper.key", "bootstrap_file": "keys.yaml"},
        "admin": {"key_file": "admin.key"},
        "models": [{"id": "m", "upstreams": [{"url": "http://x", "key_file": "engine.key"}]}],
        **changes,
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def settings(**changes: Any) -> Settings:
    models = [{"id": "m", "upstreams": [{"url": "http://x"}]}]
    return Settings.model_validate({"auth": {"pepper_file": "p"}, "models": models, **changes})


def test_all_files_that_are_named_are_watched(tmp_path: Path) -> None:
    first = read(write(tmp_path), {})
    names = {"gateway.yaml", "pepper.key", "admin.key", "engine.key", "keys.yaml"}
    assert {path.name for path in first.marks} == names
    assert read(tmp_path / "gateway.yaml", {}) == first
    for name in names:
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text(before + "\n# more")
        assert marks(first.marks) != first.marks, name
        (tmp_path / name).unlink()
        assert marks(first.marks)[tmp_path / name] is None
        (tmp_path / name).write_text(before)
        assert marks(first.marks) == first.marks


def test_files_beside_a_link_are_named_by_the_link(tmp_path: Path) -> None:
    """The target's folder may be gone when a worker is started again."""
    (tmp_path / "..1").mkdir()
    write(tmp_path).rename(tmp_path / "..1" / "gateway.yaml")
    (tmp_path / "gateway.yaml").symlink_to("..1/gateway.yaml")
    named = read(tmp_path / "gateway.yaml", {}).settings.auth.pepper_file
    assert named == tmp_path / "pepper.key"


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("listen", "host", "0.0.0.0"),
        ("listen", "port", 9),
        ("listen", "send_buffer_bytes", 65536),
        ("admin", "host", "0.0.0.0"),
        ("admin", "port", 9),
    ],
)
def test_what_belongs_to_the_sockets_needs_a_restart(section: str, field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{section}.{field}: needs a restart"):
        check_fixed(settings(), settings(**{section: {field: value}}))
    check_fixed(settings(), settings(listen={"workers": 7}, store={"url": "redis://x"}))


def test_the_grace_is_as_long_as_the_longest_answer() -> None:
    models = [
        {"id": name, "upstreams": [{"url": "http://x"}], "timeouts": {"total_s": seconds}}
        for name, seconds in (("short", 60), ("long", 7000))
    ]
    assert settings(models=models).drain_s == 7000
    assert remarks(settings(models=models)) == []
    given = settings(models=models, listen={"drain_timeout_s": 6999})
    assert given.drain_s == 6999
    (remark,) = remarks(given)
    assert remark.startswith("listen.drain_timeout_s: 6999 s")
    assert "models.1.timeouts.total_s: 7000 s" in remark
    ollama = {"url": "http://x", "timeouts": {"total_s": 9000}}
    assert settings(models=models, discover=[ollama]).drain_s == 9000


def test_check_says_that_the_grace_is_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {})
    assert check(write(tmp_path, listen={"drain_timeout_s": 5})) == 0
    assert capsys.readouterr().err.startswith("listen.drain_timeout_s: 5 s is less than")


def test_counts_stay_when_a_worker_goes_and_gauges_do_not() -> None:
    tally = Tally(FAMILIES)
    for _ in range(2):
        sheet = tally.open()
        metrics = Metrics(Meter(Sheet(sheet)))
        metrics.rejected("m", "why")
        metrics.request_done("chat", "m", 200, 0.2)
        metrics.upstream_up("m", "u", True)
        with metrics.working("m"):
            text = tally.text()
            assert 'r1_inflight_requests{model="m"} 1' in text
            tally.close(sheet)
    text = tally.text()
    assert 'r1_rejections_total{model="m",reason="why"} 2' in text
    assert 'r1_request_duration_seconds_count{api="chat",model="m"} 2' in text
    assert "r1_inflight_requests{" not in text
    assert "r1_upstream_up{" not in text
