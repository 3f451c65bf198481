"""The controller's two files."""

from pathlib import Path

import pytest

from serving.kubernetes.goal import Goal
from tests.unit.serving.kubernetes.answers import LIMITS


def write(folder: Path, workers: str) -> Path:
    (folder / "serve.yaml").write_text("applications: []")
    (folder / "workers.yaml").write_text(workers)
    return folder


def test_it_is_read_as_the_chart_writes_it(tmp_path: Path) -> None:
    text = (
        "- {model: m, stateful_set: r1-ray-m, pool: 'model:m', ranks_per_worker: 1, least: 1, "
        "most: 2, surge: 1}"
    )
    assert Goal.load(write(tmp_path, text)) == Goal(serve={"applications": []}, workers=(LIMITS,))


def test_no_models_are_no_workers(tmp_path: Path) -> None:
    assert Goal.load(write(tmp_path, "")).workers == ()


def test_a_wrong_field_is_named(tmp_path: Path) -> None:
    text = "- {model: m, stateful_set: s, pool: p, ranks_per_worker: 0, least: 3, most: 2}"
    with pytest.raises(ValueError, match="ranks_per_worker"):
        Goal.load(write(tmp_path, text))
