"""A fetch in a process of its own, as a replica starts it."""

from pathlib import Path

import pytest

from serving.errors import WeightsError
from serving.local.explain import explain
from serving.weights.node import fetch_here
from serving.weights.progress import Progress
from tests.unit.serving.weights.stores import BUCKET, PREFIX, model, serving


async def test_progress_and_folder_come_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1_WEIGHTS_CACHE", str(tmp_path))
    seen: list[Progress] = []
    with serving(model(1000)) as store:
        source = f"s3://{BUCKET}/{PREFIX}?endpoint={store.url}&anonymous=true"
        obtained = await fetch_here(source, seen.append)
    assert (obtained.folder / "config.json").is_file()
    assert obtained.folder.parent == tmp_path
    assert {each.phase for each in seen} == {"fetch", "verify"}


async def test_a_refusal_comes_over_as_its_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"config\.json missing") as caught:
        await fetch_here(str(tmp_path), lambda progress: None)
    told = explain(f"Traceback\nserving.errors.WeightsError: {caught.value}\n\nThe above exception")
    assert told == str(caught.value)
