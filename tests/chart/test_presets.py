"""The chart's presets are what `r1 plan --helm` says now, and the model plane takes them."""

import contextlib
import io
from typing import Any

import pytest
import yaml

from r1.cli import main
from scripts.presets import CHART, PRESETS, ROOT, contents
from serving import app
from serving.preflight.demand import demand_of
from serving.preflight.deployment import Deployment

NAMED = (
    "r1-8xh200-latency", "r1-8xh200-throughput", "r1-16xh100", "r1-b200", "r1-mi300x",
    "r1-w4a16-8x80gb", "family", "nano",
)  # fmt: skip
# GPUs of each of a preset's pods, and how many pods its first replicas have.
GPUS = {
    "nano": [],
    "r1-8xh200-latency": [8],
    "r1-8xh200-throughput": [8],
    "r1-16xh100": [8, 8],
    "r1-b200": [8],
    "r1-mi300x": [8],
    "r1-w4a16-8x80gb": [8],
    "distill-qwen-1.5b": [1],
    "distill-qwen-7b": [1],
    "distill-llama-8b": [1],
    "distill-qwen-14b": [1],
    "distill-qwen-32b": [2],
    "distill-llama-70b": [4],
    "family": [8, 1, 1, 1, 1, 2, 4],
}


def values(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / "presets" / f"{name}.yaml").read_text("utf-8"))
    return found


def test_none_is_stale() -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in contents()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    assert stale == [], "run `python -m scripts.presets`"


def test_all_are_there_and_no_others() -> None:
    distills = {each for each in PRESETS if each.startswith("distill-")}
    assert len(distills) == 6
    assert set(PRESETS) == {*NAMED, *distills}
    found = {path.name for path in (CHART / "presets").iterdir()}
    assert found == {f"{name}.yaml" for name in PRESETS}


@pytest.mark.parametrize("name", ["r1-16xh100", "family"])
def test_a_preset_is_what_the_command_in_it_prints(name: str) -> None:
    text = (CHART / "presets" / f"{name}.yaml").read_text("utf-8")
    lines = [line.removeprefix("#     ").removesuffix("\\") for line in text.splitlines()[1:9]]
    command = " ".join(lines).split("# Its first replicas")[0].split()
    assert command[:2] == ["r1", "plan"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(command[1:]) == 0
    assert printed.getvalue() == text


@pytest.mark.parametrize("name", PRESETS)
def test_the_model_plane_takes_a_preset(name: str) -> None:
    deployment = Deployment.load(CHART / "presets" / f"{name}.yaml")
    gpus = []
    for arguments in deployment.models:
        engine = app.derive(arguments)
        assert engine.kwargs["max_model_len"] >= min(8192, engine.model.context.served)
        demand = demand_of(arguments)
        gpus += [demand.gpus] * demand.pods * demand.replicas if demand.gpus else []
    assert gpus == GPUS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_figures_stand_beside_each_model(name: str) -> None:
    text = (CHART / "presets" / f"{name}.yaml").read_text("utf-8")
    served = [each for each in values(name)["models"].values() if each["enabled"]]
    on_gpus = sum(each["hardware"] != "cpu" for each in served)
    for figure in ("TTFT ", "ITL ", "tokens/s ", "memory ", "room "):
        assert text.count(f"#   {figure}") == on_gpus
