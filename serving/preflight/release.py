"""Values of the Helm chart, read as a deployment. Pure."""

from collections.abc import Mapping
from typing import Any

ARGUMENTS = ("hardware", "profile", "build", "engine", "replicas", "adapters")
"""Fields of a model's entry that are `serving.app`'s under the same name."""
SCALING = {
    "min": "min_replicas",
    "max": "max_replicas",
    "target": "target_ongoing_requests",
    "upscaleDelay": "upscale_delay_s",
    "downscaleDelay": "downscale_delay_s",
    "downscaleToZeroDelay": "downscale_to_zero_delay_s",
    "lookBack": "look_back_s",
}
"""The chart's names of autoscaling's settings, and `serving.app`'s."""
MONITORS = ("serviceMonitor", "podMonitor", "scrapeConfig", "rules")
"""Parts of the chart's `monitoring` that are objects of the Prometheus operator."""


def is_release(document: Mapping[str, Any]) -> bool:
    """Tell whether a document is the chart's values: its models are a map."""
    return isinstance(document.get("models"), Mapping)


def deployment_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The chart's values as the fields of a Deployment; what is not looked at is left out."""
    models = {
        name: entry or {}
        for name, entry in values["models"].items()
        if (entry or {}).get("enabled", True)
    }
    pods = [entry.get("pod") or {} for entry in models.values() if _on_gpus(entry)]
    found: dict[str, Any] = {
        "models": [arguments_of(name, entry, values) for name, entry in models.items()],
        "node_selector": _common([pod.get("nodeSelector") or {} for pod in pods]),
        "runtime": values.get("runtime", "plain"),
        "monitoring": any(_is_on(values, "monitoring", each) for each in MONITORS),
        "gateway_api": _is_on(values, "gateway", "httpRoute"),
        "keda": _inside(values, "gateway", "autoscaling", "queueDepth").get("by") == "keda",
    }
    # The chart lets all of its pods bear the taints of GPU nodes.
    borne = [{"key": f"{vendor}.com/gpu", "operator": "Exists"} for vendor in ("nvidia", "amd")]
    borne += [each for pod in pods for each in pod.get("tolerations") or []]
    found["tolerations"] = [each for index, each in enumerate(borne) if each not in borne[:index]]
    secrets = values.get("imagePullSecrets")
    if secrets:
        found["pull_secret"] = secrets[0]
    return found


def arguments_of(model: str, entry: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `serving.app` that a model's entry stands for.

    Args:
        model: its id, the entry's key.
        entry: of the chart's `models`.
        values: all of the chart's, for what all models share.
    """
    found = {"model": model, **{name: entry[name] for name in ARGUMENTS if entry.get(name)}}
    source = (entry.get("weights") or {}).get("source")
    if source:
        found["weights"] = source
    if entry.get("autoscaling"):
        scaling = entry["autoscaling"]
        found["autoscaling"] = {SCALING.get(name, name): each for name, each in scaling.items()}
    if "longestAnswer" in values:
        found["longest_answer_s"] = values["longestAnswer"]
    return found


def _is_on(values: Mapping[str, Any], *path: str) -> bool:
    return bool(_inside(values, *path).get("enabled"))


def _inside(values: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """A map in the values; empty where there is none."""
    found: Any = values
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _on_gpus(entry: Mapping[str, Any]) -> bool:
    return not str(entry.get("hardware", "")).startswith("cpu")


def _common(maps: list[Mapping[str, str]]) -> dict[str, str]:
    """What all of them say alike; models on other GPUs have other labels."""
    if not maps:
        return {}
    first, *others = maps
    return {key: value for key, value in first.items() if all(o.get(key) == value for o in others)}
