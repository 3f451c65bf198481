"""Recording rules from vocabulary.yaml: every source in the words of one vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scripts.observability.values import load

Rule = dict[str, Any]
WINDOW = "${window}"
HERE = 'namespace=~"${namespaces}"'
QUANTILES = ("0.5", "0.95", "0.99")
_MODEL = ("namespace", "model")
_ENGINE = ("namespace", "model", "instance")
_GPU = ("namespace", "pod", "node", "gpu")
# What dcgm-exporter says of the workload is renamed by Prometheus where the exporter's own target
# has such labels; its releases after 4.8.2 write the host's name in small letters.
_GPU_LABELS = (
    ("namespace", "exported_namespace"),
    ("pod", "exported_pod"),
    ("node", "Hostname"),
    ("node", "hostname"),
)


def groups() -> list[dict[str, Any]]:
    """The groups of recording rules, each in the order in which one rule reads another."""
    told = load("vocabulary.yaml")
    sources = [
        *(rule for entry in told["engine"] for rule in _engine(entry)),
        *(_gpu(entry) for entry in told["gpus"]),
        *(rule for entry in told["quantiles"] for rule in _quantiles(entry)),
    ]
    plain = [_rule(each["record"], each["expr"]) for each in told["rules"]]
    return [{"name": "r1-vocabulary", "rules": [*sources, *plain]}]


def described() -> dict[str, str]:
    """What each series of the vocabulary says, by its name."""
    told = load("vocabulary.yaml")
    entries = [each for part in ("rules", "quantiles", "engine", "gpus") for each in told[part]]
    return {each["record"]: each["about"] for each in entries if "about" in each}


def _rule(record: str, expr: str, labels: Mapping[str, str] | None = None) -> Rule:
    rule: Rule = {"record": record, "expr": expr}
    return {**rule, "labels": dict(labels)} if labels else rule


def _quantiles(entry: Mapping[str, Any]) -> Iterator[Rule]:
    where = ", ".join((HERE, entry["where"]) if "where" in entry else (HERE,))
    by = ", ".join((*_MODEL, *entry.get("by", ()), "le"))
    buckets = f"sum by ({by}) (rate({entry['of']}_bucket{{{where}}}[${{window}}]))"
    for quantile in QUANTILES:
        expr = f"histogram_quantile({quantile}, {buckets})"
        yield _rule(entry["record"], expr, {"quantile": quantile})


def _engine(entry: Mapping[str, Any]) -> Iterator[Rule]:
    """Rules of one of the engine's metrics, whichever way it comes."""
    record = entry["record"]
    by = ", ".join((*_ENGINE, *entry.get("by", ())))
    if "gauge" in entry:
        join = entry.get("join", "sum")
        yield _rule(record, f"{join} by ({by}) ({_either(entry['gauge'])})")
    elif "counter" in entry:
        yield _rule(record, f"sum by ({by}) ({_either(entry['counter'], rate=True)})")
    elif "ratio" in entry:
        part, whole = (f"sum by ({by}) ({_either(each, rate=True)})" for each in entry["ratio"])
        yield _rule(record, f"{part} / ({whole} > 0)")
    else:
        buckets = f"sum by ({by}, le) ({_either(entry['histogram'] + '_bucket', rate=True)})"
        for quantile in QUANTILES:
            expr = f"histogram_quantile({quantile}, {buckets})"
            yield _rule(record, expr, {"quantile": quantile})


def _either(metric: str, *, rate: bool = False) -> str:
    sources = [f"{prefix}{metric}{{{HERE}}}" for prefix in ("vllm:", "ray_vllm_")]
    if rate:
        sources = [f"rate({each}[${{window}}])" for each in sources]
    return _relabelled(" or ".join(sources), "model", "model_name")


def _gpu(entry: Mapping[str, Any]) -> Rule:
    names: Mapping[str, float] = entry.get("gauge") or entry["counter"]
    sources = []
    for name, scale in names.items():
        for where in (HERE, f"exported_{HERE}"):
            source = f"{name}{{{where}}}"
            if "counter" in entry:
                rise, window = ("increase", entry["over"]) if "over" in entry else ("rate", WINDOW)
                source = f"{rise}({source}[{window}])"
            sources.append(source if scale == 1 else f"{scale} * {source}")
    metric = " or ".join(sources)
    for target, source in _GPU_LABELS:
        metric = _relabelled(metric, target, source)
    return _rule(entry["record"], f"max by ({', '.join(_GPU)}) ({metric})", entry.get("labels"))


def _relabelled(expr: str, target: str, source: str) -> str:
    """`expr` with the label `target` as `source` has it, where there is a `source`."""
    return f'label_replace({expr}, "{target}", "$1", "{source}", "(.+)")'
