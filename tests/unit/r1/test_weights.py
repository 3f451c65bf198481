"""`r1 weights` against a hub on loopback."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from r1.cli import main
from r1.weights import source_of
from serving.catalog import Catalog
from serving.errors import UnknownBuild, WeightsError
from serving.weights.source import parse
from tests.unit.serving.weights.stores import REPO, Store, model, serving

BIG = "model-00001-of-00002.safetensors"
NANO = Catalog.load().resolve("r1-distill-nano").weights.path


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("R1_WEIGHTS_CACHE", str(tmp_path / "cache"))
    with serving(model(1000)) as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


@pytest.mark.usefixtures("store")
def test_a_pulled_folder_can_be_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "w"
    assert main(["weights", "pull", REPO, "--to", str(folder)]) == 0
    assert "fetching weights" in capsys.readouterr().err
    assert main(["weights", "verify", str(folder)]) == 0
    assert "5 of them have the right SHA-256" in capsys.readouterr().out
    data = bytearray((folder / BIG).read_bytes())
    data[-1] ^= 1
    (folder / BIG).write_bytes(bytes(data))
    assert main(["weights", "verify", str(folder)]) == 1
    assert f"{BIG} is damaged" in capsys.readouterr().out
    assert main(["weights", "pull", REPO, "--to", str(folder)]) == 1
    assert "exists" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_a_folder_from_elsewhere_is_checked_against_the_hub(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, data in model(1000).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert main(["weights", "verify", str(tmp_path)]) == 0
    assert "no list of checksums" in capsys.readouterr().out
    assert main(["weights", "verify", str(tmp_path), "--against", REPO]) == 0
    assert "2 of them have the right" in capsys.readouterr().out
    (tmp_path / BIG).write_bytes(model(1000)[BIG][:-1] + b"\0")
    assert main(["weights", "verify", str(tmp_path), "--against", REPO]) == 1
    assert main(["weights", "verify", str(tmp_path), "--against", "r1-nano"]) == 1


@pytest.mark.usefixtures("store")
def test_the_cache_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "pull", REPO]) == 0
    capsys.readouterr()
    assert main(["weights", "list"]) == 0
    told = capsys.readouterr().out
    assert "acme--tiny-" in told
    assert f"1 in {tmp_path / 'cache'}" in told


@pytest.mark.usefixtures("store")
def test_models_that_ship_are_there_already(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "pull", "r1-distill-nano"]) == 0
    assert str(NANO) in capsys.readouterr().out


def test_a_model_of_the_catalog_is_its_builds_source() -> None:
    model = Catalog.load().resolve("deepseek-r1")
    other = model.builds[1]
    assert source_of("deepseek-r1") == parse(str(model.weights.hub))
    assert source_of("deepseek-r1", other.id) == parse(str(other.hub))
    with pytest.raises(UnknownBuild):
        source_of("deepseek-r1", "int1")
    with pytest.raises(WeightsError, match=r"q4_k_m of deepseek-r1: .* fetches it itself"):
        source_of("deepseek-r1", "q4_k_m")


@pytest.mark.usefixtures("store")
def test_what_is_neither_model_nor_source_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "pull", "r1-nanoo"]) == 1
    assert "r1-nano" in capsys.readouterr().err
    assert main(["weights", "pull", "acme/none"]) == 1
    assert "HF_TOKEN" in capsys.readouterr().err


def test_the_weights_that_ship_have_no_damage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "verify", str(NANO)]) == 0
