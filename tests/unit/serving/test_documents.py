"""Strict YAML documents and the sentences about what is wrong in them."""

from pathlib import Path

import pytest

from serving.documents import Strict, read_document
from serving.errors import InvalidDocument, nearest


class Part(Strict):
    length_m: float


class Whole(Strict):
    name: str
    count: int
    parts: tuple[Part, ...] = ()


def read(folder: Path, text: str) -> Whole:
    path = folder / "thing.yaml"
    path.write_text(text, encoding="utf-8")
    return read_document(path, Whole)


def test_a_right_document_becomes_its_model(tmp_path: Path) -> None:
    found = read(tmp_path, "name: a\ncount: 2\nparts: [{length_m: 1}]\n")
    assert found == Whole(name="a", count=2, parts=(Part(length_m=1.0),))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("count: 2\n", "name: is missing; add it"),
        ("name: a\ncount: '2'\n", "count: Input should be a valid integer, but it is '2'"),
        ("name: a\ncount: 2\ncuont: 3\n", "cuont: is not a known field; did you mean count?"),
        ("name: a\ncount: 2\nparts: [{lenght_m: 1}]\n", "parts.0.length_m: is missing"),
        ("name: a\ncount: 2\nparts: [{length_m: .inf}]\n", "parts.0.length_m: "),
        ("name: a\nname: b\ncount: 2\n", "the key `name` is written twice"),
        ("name: [a\n", "is not valid YAML"),
        ("- name\n", "must be a mapping"),
        ("", "must be a mapping"),
    ],
)
def test_a_wrong_document_says_what_to_mend(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read(tmp_path, text)
    assert sentence in str(caught.value)
    assert "thing.yaml" in str(caught.value)


def test_all_wrong_fields_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read(tmp_path, "count: x\nmore: 1\n")
    assert "3 field(s)" in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="can't be read"):
        read_document(tmp_path / "none.yaml", Whole)


def test_near_names_are_offered_and_far_ones_listed() -> None:
    assert nearest("Latncy", ["latency", "throughput"]) == "did you mean latency?"
    assert nearest("zzz", ["b", "a"]) == "known are a, b"
    assert nearest("zzz", [f"name{n}" for n in range(20)]).endswith(", …")
