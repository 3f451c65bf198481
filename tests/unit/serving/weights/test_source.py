from pathlib import Path

import pytest

from serving.errors import WeightsError
from serving.weights.source import Bucket, Folder, Hub, Remote, cache_key, parse


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("/models/r1", Folder(Path("/models/r1"))),
        ("./r1", Folder(Path("./r1"))),
        ("~/r1", Folder(Path.home() / "r1")),
        ("deepseek-ai/DeepSeek-R1", Hub("deepseek-ai/DeepSeek-R1")),
        ("hf://deepseek-ai/DeepSeek-R1@v1.0", Hub("deepseek-ai/DeepSeek-R1", "v1.0")),
        ("org/name@refs/pr/1", Hub("org/name", "refs/pr/1")),
        ("s3://models/r1", Bucket("models", "r1")),
        ("s3://models/a/b/", Bucket("models", "a/b")),
        (
            "s3://models/r1?endpoint=http://minio:9000&region=eu&anonymous=true",
            Bucket("models", "r1", "http://minio:9000", "eu", anonymous=True),
        ),
    ],
)
def test_each_kind_is_understood(text: str, source: object) -> None:
    assert parse(text) == source


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither a folder"),
        ("models", "neither a folder"),
        ("a/b/c", "neither a folder"),
        ("org/../etc", "neither a folder"),
        ("https://huggingface.co/a/b", "neither a folder"),
        ("s3://models", "lacks a bucket or a prefix"),
        ("s3:///r1", "lacks a bucket or a prefix"),
        ("s3://key:secret@models/r1", "AWS_SECRET_ACCESS_KEY"),
        ("s3://models/r1?endpont=x", "did you mean endpoint"),
        ("s3://models/r1?anonymous=1", "give true or false"),
    ],
)
def test_what_is_none_of_them_is_refused(text: str, words: str) -> None:
    with pytest.raises(WeightsError, match=words) as caught:
        parse(text)
    assert "secret" not in str(caught.value).replace("SECRET", "")


def test_sources_that_differ_have_folders_of_their_own() -> None:
    sources: list[Remote] = [
        Hub("a/b"),
        Hub("a/b", "v2"),
        Bucket("a", "b"),
        Bucket("a", "b", endpoint="http://minio"),
    ]
    names = {cache_key(source) for source in sources}
    assert len(names) == len(sources)
    assert all("/" not in name for name in names)
    assert cache_key(Hub("deepseek-ai/DeepSeek-R1")).startswith("deepseek-ai--DeepSeek-R1-")
