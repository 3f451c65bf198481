from pathlib import Path

import pytest

from serving.errors import WeightsError
from serving.weights import check
from serving.weights.manifest import File, Manifest, wanted
from tests.unit.serving.weights.stores import model, safetensors

SHARD = "model-00001-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in model(1000).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_a_whole_folder_has_no_problems(folder: Path) -> None:
    assert check.problems(folder) == {}
    check.require(folder, {}, "nothing to mend")


def test_the_models_that_ship_have_none() -> None:
    root = Path(__file__).parents[4] / "serving" / "nano" / "weights"
    for name in ("r1-nano", "r1-distill-nano"):
        assert check.problems(root / name) == {}


@pytest.mark.parametrize("cut", [1, 500, 1000])
def test_a_cut_file_is_found_by_its_header(folder: Path, cut: int) -> None:
    data = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(data[:-cut])
    assert set(check.problems(folder)) == {SHARD}


@pytest.mark.parametrize("content", [b"", b"123", b"\xff" * 50, safetensors(10) + b"x"])
def test_what_is_no_safetensors_file_is_found(folder: Path, content: bytes) -> None:
    (folder / SHARD).write_bytes(content)
    assert set(check.problems(folder)) == {SHARD}


def test_a_damaged_header_is_found(folder: Path) -> None:
    data = bytearray((folder / SHARD).read_bytes())
    data[8] ^= 255
    (folder / SHARD).write_bytes(bytes(data))
    assert check.problems(folder) == {SHARD: "has a damaged header"}


def test_a_missing_shard_is_found_by_the_index(folder: Path) -> None:
    (folder / SHARD).unlink()
    assert check.problems(folder) == {SHARD: "missing"}


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": []}'])
def test_a_damaged_index_is_found(folder: Path, content: str) -> None:
    (folder / check.INDEX).write_text(content)
    assert check.problems(folder) == {check.INDEX: "is damaged"}


def test_an_empty_folder_and_none_at_all(tmp_path: Path) -> None:
    assert set(check.problems(tmp_path)) == {"config.json", "tokenizer.json", "*.safetensors"}
    assert check.problems(tmp_path / "x") == {str(tmp_path / "x"): "there is no such folder"}


def test_one_flipped_byte_is_found_by_the_checksum(folder: Path) -> None:
    good = check.digests(folder, [SHARD])
    size = (folder / SHARD).stat().st_size
    manifest = Manifest(source="s", files={SHARD: File(size=size, sha256=good[SHARD])})
    assert check.damaged(manifest, good) == {}
    data = bytearray((folder / SHARD).read_bytes())
    data[-1] ^= 1
    (folder / SHARD).write_bytes(bytes(data))
    assert check.problems(folder, manifest) == {}
    assert set(check.damaged(manifest, check.digests(folder, [SHARD]))) == {SHARD}


def test_a_refusal_names_the_files_and_the_mend(folder: Path) -> None:
    found = {f"{n}.safetensors": "missing" for n in range(5)}
    with pytest.raises(WeightsError, match=r"0\.safetensors missing.* and 2 more; pull again"):
        check.require(folder, found, "pull again")


def test_a_manifest_can_be_kept_and_read(tmp_path: Path) -> None:
    manifest = Manifest(source="s", files={"a": File(size=1, sha256="00")})
    assert Manifest.load(tmp_path) is None
    manifest.save(tmp_path)
    assert Manifest.load(tmp_path) == manifest
    (tmp_path / "r1-weights.json").write_text("{")
    with pytest.raises(WeightsError, match="damaged"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a\\b", ""])
def test_no_file_lands_outside_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        Manifest(source="s", files={name: File(size=1)})


def test_only_what_serving_needs_is_wanted() -> None:
    names = [*model(10), ".gitattributes", "README.md", "r1-weights.json", "a/b.safetensors"]
    assert wanted(names, "s") == [
        "a/b.safetensors",
        "config.json",
        SHARD,
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ]


def test_a_file_of_somebody_else_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str | None:
        raise PermissionError(13, "Permission denied", str(path))

    # Who runs the tests may read everything.
    monkeypatch.setattr(check, "header_fault", refuse)
    assert "chmod a+r" in check.problems(folder)[SHARD]
