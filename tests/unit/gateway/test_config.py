"""The configuration: defaults, overrides, and what its errors say."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import ConfigError, load, mask_url, masked
from gateway.main import check, main


def good() -> dict[str, Any]:
    return {
        "auth": {"pepper_file": "pepper.key"},
        "models": [
            {
                "id": "r1-nano",
                "aliases": ["deepseek-r1"],
                "upstreams": [{"url": "http://127.0.0.1:8000/r1-nano/"}],
            }
        ],
    }


def write(folder: Path, data: Any) -> Path:
    (folder / "pepper.key").write_text("p" * 32 + "\n")
    file = folder / "gateway.yaml"
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return file


def fault(folder: Path, data: Any, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        load(write(folder, data), environ or {})
    return str(error.value)


def test_the_least_configuration(tmp_path: Path) -> None:
    settings = load(write(tmp_path, good()), {})
    assert settings.listen.port == 8080
    assert settings.admin.port == 8081
    assert settings.auth.pepper_file == tmp_path / "pepper.key"
    assert settings.models[0].upstreams[0].url == "http://127.0.0.1:8000/r1-nano"
    assert settings.models[0].upstreams[0].name == "127.0.0.1:8000/r1-nano"


def test_environment_overrides_any_field(tmp_path: Path) -> None:
    environ = {
        "R1_GATEWAY__LISTEN__PORT": "9000",
        "R1_GATEWAY__LISTEN__DRAIN_DELAY_S": "0",
        "R1_GATEWAY__MODELS__0__CONTEXT_LENGTH": "4096",
        "R1_GATEWAY__MODELS__0__ALIASES": '["a", "b"]',
        "R1_GATEWAY__MODELS__0__UPSTREAMS__0__URL": "https://models.example/x",
        "R1_GATEWAY__MODELS__0__UPSTREAMS__1__URL": "http://127.0.0.1:1",
        "R1_GATEWAY__STORE__URL": "redis://:secret@127.0.0.1:6380/1",
        "PATH": "/bin",
    }
    settings = load(write(tmp_path, good()), environ)
    assert settings.listen.port == 9000
    assert settings.listen.drain_delay_s == 0
    assert settings.models[0].context_length == 4096
    assert settings.models[0].aliases == ("a", "b")
    urls = [upstream.url for upstream in settings.models[0].upstreams]
    assert urls == ["https://models.example/x", "http://127.0.0.1:1"]
    assert settings.store.url == "redis://:secret@127.0.0.1:6380/1"


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"listen": {"port": 99999}}, "listen.port", "65535"),
        ({"listen": {"prot": 1}}, "listen.prot", "spelling"),
        ({"cashe": {}}, "cashe", "spelling"),
        ({"auth": {}}, "auth.pepper_file", "missing"),
        ({"auth": {"pepper_file": "nowhere"}}, "auth.pepper_file", "can't be read"),
        ({"models": []}, "models", "at least 1"),
        ({"store": {"url": "http://x"}}, "store.url", "redis://"),
        ({"admin": {"key_file": "nowhere"}}, "admin.key_file", "can't be read"),
        ({"listen": {"port": 8081}}, "admin.port", "port of its own"),
    ],
)
def test_a_fault_names_its_field_and_the_mend(
    tmp_path: Path, change: dict[str, Any], field: str, word: str
) -> None:
    message = fault(tmp_path, {**good(), **change})
    assert message.startswith(field)
    assert word in message


def test_faults_inside_models(tmp_path: Path) -> None:
    data = good()
    data["models"][0]["upstreams"][0]["url"] = "ftp://x"
    data["models"][0]["context_length"] = 0
    lines = fault(tmp_path, data).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "models.0.context_length",
        "models.0.upstreams.0.url",
    ]
    data = good()
    data["models"].append({**data["models"][0], "id": "other"})
    assert "'deepseek-r1' names both 'r1-nano' and 'other'" in fault(tmp_path, data)


def test_a_fault_from_the_environment_names_the_variable(tmp_path: Path) -> None:
    message = fault(tmp_path, good(), {"R1_GATEWAY__LISTEN__PORT": "many"})
    assert message.startswith("listen.port (set by R1_GATEWAY__LISTEN__PORT): ")
    assert "many" in message
    message = fault(tmp_path, good(), {"R1_GATEWAY__MODELS__7__ID": "x"})
    assert message.startswith("R1_GATEWAY__MODELS__7__ID: models.7")
    message = fault(tmp_path, good(), {"R1_GATEWAY__LISTEN__PORT": "[1"})
    assert message.startswith("R1_GATEWAY__LISTEN__PORT: is not valid YAML")


@pytest.mark.parametrize("text", ["a: [", "- 1", "just words", "", "models: 7\nauth: []"])
def test_files_that_are_no_configuration(tmp_path: Path, text: str) -> None:
    assert fault(tmp_path, text)


def test_a_missing_file_and_a_short_pepper(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path / "none.yaml", {})
    file = write(tmp_path, good())
    (tmp_path / "pepper.key").write_text("short")
    with pytest.raises(ConfigError, match="at least 16"):
        load(file, {})


def test_secrets_are_masked(tmp_path: Path) -> None:
    environ = {
        "R1_GATEWAY__STORE__URL": "redis://user:hunter2@127.0.0.1:6380/0",
        "R1_GATEWAY__STORE__CACHE_URL": "unix:///run/redis.sock?password=hunter2&db=1",
    }
    text = yaml.safe_dump(masked(load(write(tmp_path, good()), environ)))
    assert "hunter2" not in text
    assert "redis://user:***@127.0.0.1:6380/0" in text
    assert mask_url("redis://127.0.0.1:1/0") == "redis://127.0.0.1:1/0"


def test_a_fault_in_a_url_does_not_show_its_password(tmp_path: Path) -> None:
    data = {**good(), "store": {"url": "http://user:hunter2@x"}}
    assert "hunter2" not in fault(tmp_path, data)


def test_check_prints_what_can_be_loaded_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("R1_GATEWAY__")]:
        monkeypatch.delenv(name)
    file = write(tmp_path, good())
    assert main(["check", "--config", str(file)]) == 0
    printed = capsys.readouterr().out
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    assert load(again, {}) == load(file, {})
    file.write_text("listen: {port: 0}")
    assert check(file) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "listen.port" in captured.err


def test_an_unreadable_key_file_is_named(tmp_path: Path) -> None:
    data = good()
    data["models"][0]["upstreams"][0]["key_file"] = "engine.key"
    message = fault(tmp_path, data)
    assert message.startswith("models.0.upstreams.0.key_file: ")
    (tmp_path / "engine.key").write_text("")
    (tmp_path / "engine.key").chmod(stat.S_IRUSR)
    assert "at least 1" in fault(tmp_path, data)


def test_spans_without_their_packages_are_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {**good(), "telemetry": {"otlp_endpoint": "http://127.0.0.1:4318/"}}
    assert load(write(tmp_path, data), {}).telemetry.otlp_endpoint == "http://127.0.0.1:4318"

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.util.find_spec", missing)
    assert fault(tmp_path, data) == (
        "telemetry.otlp_endpoint: needs the package opentelemetry-proto; install it with "
        "pip install 'r1[otel]', or leave this field out"
    )
    load(write(tmp_path, good()), {})
