"""Kubernetes' JSON into facts. Pure; a missing or strange field is an absent fact, no exception."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from serving.preflight.cluster_facts import Limits, Node, Operator, Quota, StorageClass, Taint

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
FINISHED = {"Succeeded", "Failed"}


def inside(document: Any, *path: str) -> dict[str, Any]:
    """The mapping at a path, or an empty one."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def each_in(document: Any, name: str) -> Iterator[dict[str, Any]]:
    """The mappings in a list of a document."""
    found = document.get(name) if isinstance(document, dict) else None
    return (each for each in (found if isinstance(found, list) else []) if isinstance(each, dict))


def text(document: Mapping[str, Any], name: str) -> str:
    """A field as text, empty where it is missing."""
    value = document.get(name)
    return "" if value is None else str(value)


def amounts(document: Mapping[str, Any]) -> dict[str, float]:
    """Quantities as numbers: `2Gi` in bytes, `500m` in cores. What is none is left out."""
    from kubernetes.utils.quantity import parse_quantity

    found: dict[str, float] = {}
    for name, value in document.items():
        try:
            found[str(name)] = float(parse_quantity(value))
        except (ValueError, TypeError, ArithmeticError):
            continue
    return found


def labels_of(document: Any) -> dict[str, str]:
    """The labels of an object."""
    return {str(k): str(v) for k, v in inside(document, "metadata", "labels").items()}


def name_of(document: Any) -> str:
    """The name of an object."""
    return text(inside(document, "metadata"), "name")


def node(document: Any, taken: Mapping[str, Mapping[str, float]]) -> Node:
    """A Node; `taken` holds what pods have asked for, by the names of nodes."""
    spec, status = inside(document, "spec"), inside(document, "status")
    conditions = {text(c, "type"): text(c, "status") for c in each_in(status, "conditions")}
    names = (name for image in each_in(status, "images") for name in image.get("names") or [])
    return Node(
        name=name_of(document),
        labels=labels_of(document),
        taints=tuple(
            Taint(text(t, "key"), text(t, "value"), text(t, "effect"))
            for t in each_in(spec, "taints")
        ),
        ready=conditions.get("Ready") == "True",
        cordoned=spec.get("unschedulable") is True,
        pressures=tuple(
            sorted(k for k, v in conditions.items() if k.endswith("Pressure") and v == "True")
        ),
        allocatable=amounts(inside(status, "allocatable")),
        taken=taken.get(name_of(document), {}),
        images=frozenset(str(name) for name in names),
    )


def taken_by_pods(pods: Iterable[Any]) -> dict[str, dict[str, float]]:
    """What the pods that have not finished ask for, by the node that they are bound to."""
    found: dict[str, dict[str, float]] = {}
    for pod in pods:
        where = text(inside(pod, "spec"), "nodeName")
        if not where or text(inside(pod, "status"), "phase") in FINISHED:
            continue
        sums = found.setdefault(where, {})
        for container in each_in(inside(pod, "spec"), "containers"):
            for name, amount in amounts(inside(container, "resources", "requests")).items():
                sums[name] = sums.get(name, 0.0) + amount
    return found


def quota(document: Any) -> Quota:
    """A ResourceQuota."""
    spec = inside(document, "spec")
    return Quota(
        name_of(document),
        hard=amounts(inside(spec, "hard")),
        used=amounts(inside(document, "status", "used")),
        scoped=bool(spec.get("scopes") or spec.get("scopeSelector")),
    )


def limits(document: Any) -> Limits:
    """A LimitRange's bounds for one container or one pod, the narrower of both."""
    most: dict[str, float] = {}
    for item in each_in(inside(document, "spec"), "limits"):
        if text(item, "type") in {"Container", "Pod"}:
            for name, amount in amounts(inside(item, "max")).items():
                most[name] = min(amount, most.get(name, amount))
    return Limits(name_of(document), most)


def storage_class(document: Any) -> StorageClass:
    """A StorageClass."""
    notes = inside(document, "metadata", "annotations")
    return StorageClass(
        name_of(document),
        provisioner=text(inside(document), "provisioner"),
        default=text(notes, DEFAULT_CLASS) == "true",
        expandable=inside(document).get("allowVolumeExpansion") is True,
    )


def operator(document: Any) -> Operator:
    """The Deployment of an operator."""
    containers = each_in(inside(document, "spec", "template", "spec"), "containers")
    status = inside(document, "status")
    return Operator(
        name=f"{text(inside(document, 'metadata'), 'namespace')}/{name_of(document)}",
        image=next((text(each, "image") for each in containers), ""),
        available=any(
            text(each, "type") == "Available" and text(each, "status") == "True"
            for each in each_in(status, "conditions")
        ),
    )


def spec_fields(definition: Any, version: str) -> frozenset[str]:
    """The fields below `spec` that a CustomResourceDefinition has in a version."""
    for each in each_in(inside(definition, "spec"), "versions"):
        if text(each, "name") == version:
            schema = inside(each, "schema", "openAPIV3Schema", "properties", "spec", "properties")
            return frozenset(schema)
    return frozenset()


def server_version(document: Any) -> tuple[int, int] | None:
    """Major and minor version; some clouds write the minor one with a plus sign."""
    major, minor = (text(inside(document), name).rstrip("+") for name in ("major", "minor"))
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None
