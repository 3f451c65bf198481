"""What the chart and the plan say to the same values of `models`."""

from collections.abc import Mapping
from typing import Any

from serving import app
from serving.catalog import Catalog
from serving.engine.args import engine_arguments
from serving.engine.kv_parity import check_cache
from serving.errors import ServingError
from serving.hardware import Machine
from tests.chart.helm import Helm, RenderError

MODELS = {each.id: each for each in Catalog.load()}
MACHINES = {name: Machine.load(name) for name in Machine.ids()}
SCALING = {"min": "min_replicas", "max": "max_replicas", "target": "target_ongoing_requests"}


def refused(helm: Helm, models: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """The values that the chart refuses by model, each with its sentence."""
    found: dict[str, list[tuple[str, str]]] = {}
    try:
        helm.text(models={"r1-nano": {"enabled": False}, **models})
    except RenderError as error:
        said = str(error)
    else:
        return found
    assert "execution error at" in said, said
    ids = sorted(models, key=len, reverse=True)
    for line in said.splitlines():
        if not line.startswith("models."):
            continue
        name, _, sentence = line.removeprefix("models.").partition(": ")
        model = next(each for each in ids if name == each or name.startswith(f"{each}."))
        found.setdefault(model, []).append((name.removeprefix(model).lstrip("."), sentence))
    assert found, said
    return found


def plan_refuses(model: str, entry: Mapping[str, Any]) -> str | None:
    """Why the model plane would not start with an entry; None where it would."""
    names = ("hardware", "profile", "build", "engine", "replicas")
    arguments = {name: entry[name] for name in names if name in entry}
    if "autoscaling" in entry:
        scaling = entry["autoscaling"]
        arguments["autoscaling"] = {SCALING[name]: value for name, value in scaling.items()}
    try:
        asked = app.parse({"model": model, **arguments})
        if asked.hardware not in MACHINES:
            return f"no machine is called {asked.hardware}"
        # What `app.derive` does, on a catalog that was read once.
        engine = engine_arguments(
            MODELS[model],
            MACHINES[asked.hardware],
            asked.profile,
            build=asked.build,
            overrides=asked.engine,
        )
        check_cache(engine.kwargs)
    except ServingError as error:
        return str(error)
    return None
