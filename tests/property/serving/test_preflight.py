"""Preflight: strange answers never break it, and its placement never promises too much."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serving.preflight import cluster_documents as documents
from serving.preflight.check import Case
from serving.preflight.cluster_client import CouldNotLook, Refused
from serving.preflight.cluster_facts import Cluster
from serving.preflight.cluster_probe import ClusterProbe
from serving.preflight.examine import ALL_CLUSTER_CHECKS, MACHINE_CHECKS
from serving.preflight.finding import Finding, Severity
from serving.preflight.host_facts import Host
from serving.preflight.placement import Pod, Room, place
from tests.unit.serving.preflight.right import (
    NANO,
    R1,
    R1_TWO_NODES,
    case_of,
    cluster_of,
    h100_node,
    host_of,
    node_of,
)

NAMES = st.sampled_from(
    [
        *("metadata", "spec", "status", "items", "name", "labels", "taints", "key", "effect"),
        *("conditions", "type", "allocatable", "images", "names", "containers", "resources"),
        *("requests", "nodeName", "hard", "used", "limits", "max", "versions", "groups", "major"),
        *("memory", "nvidia.com/gpu", "nvidia.com/gpu.product", "nvidia.com/gpu.memory"),
    ]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "2Gi", "-1", "True"])
)
STRANGE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
READERS = (
    lambda document: documents.node(document, {}),
    documents.quota,
    documents.limits,
    documents.storage_class,
    documents.operator,
    documents.server_version,
    lambda document: documents.spec_fields(document, "v1"),
    lambda document: documents.taken_by_pods([document]),
)
CASES = st.sampled_from([case_of(R1), case_of(R1_TWO_NODES), case_of(NANO), case_of(R1, NANO)])


@given(STRANGE)
def test_strange_documents_are_absent_facts(document: Any) -> None:
    for read in READERS:
        read(document)


class StrangeCluster:
    """Answers everything with what it was given, in turn."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = answers
        self._turn = 0

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Any = None,
        accept: str = "",
    ) -> Any:
        self._turn += 1
        answer = self._answers[self._turn % len(self._answers)]
        if answer is None:
            raise Refused(403, "forbidden")
        return {"items": [answer]} if "limit" in query else answer


@given(
    st.lists(st.dictionaries(NAMES, STRANGE, max_size=4) | st.none(), min_size=1, max_size=7), CASES
)
def test_a_strange_cluster_gives_findings(answers: list[Any], case: Case) -> None:
    try:
        cluster = ClusterProbe(StrangeCluster(answers), case.deployment, case.demands).look()
    except CouldNotLook:
        return
    _promises(case, cluster, ALL_CLUSTER_CHECKS)


@given(st.sets(st.sampled_from([each.name for each in fields(Cluster)])), CASES)
def test_facts_that_are_missing_give_findings(missing: set[str], case: Case) -> None:
    right = cluster_of(case, node_of("a"), h100_node("b"), h100_node("c"))
    nothing = Cluster()
    gaps = {name: getattr(nothing, name) for name in missing}
    _promises(case, replace(right, **gaps), ALL_CLUSTER_CHECKS)


@given(st.sets(st.sampled_from([each.name for each in fields(Host)])), CASES)
def test_a_machine_of_which_little_is_known_gives_findings(missing: set[str], case: Case) -> None:
    nothing = Host()
    gaps = {name: getattr(nothing, name) for name in missing}
    _promises(case, replace(host_of(case), **gaps), MACHINE_CHECKS)


def _promises(case: Case, facts: Any, checks: Any) -> None:
    """Every check says something under its own id, and what is wrong has a mend."""
    for check in checks:
        found: list[Finding] = list(check.run(case, facts))
        assert found, check.id
        for each in found:
            assert each.id == check.id
            assert each.found
            wrong = each.severity in {Severity.ERROR, Severity.WARNING}
            assert bool(each.mend) == wrong, each


ROOMS = st.builds(
    Room, st.integers(0, 8), st.integers(0, 100).map(float), st.integers(0, 16).map(float)
)
NODES = st.dictionaries(st.sampled_from("abcd"), ROOMS)
PODS = st.lists(
    st.builds(Pod, st.just("m"), ROOMS, st.frozensets(st.sampled_from("abcde"))), max_size=12
)


@given(PODS, NODES)
def test_no_node_gets_more_than_it_has(pods: list[Pod], free: dict[str, Room]) -> None:
    placed, homeless = place(pods, free)
    assert sum(map(len, placed.values())) + len(homeless) == len(pods)
    for name, mine in placed.items():
        assert all(name in pod.nodes for pod in mine)
        assert sum(pod.room.gpus for pod in mine) <= free[name].gpus
        assert sum(pod.room.memory for pod in mine) <= free[name].memory
        assert sum(pod.room.cpus for pod in mine) <= free[name].cpus


@given(PODS, NODES)
def test_a_pod_without_a_home_would_not_fit_where_it_may_go(
    pods: list[Pod], free: dict[str, Room]
) -> None:
    placed, homeless = place(pods, free)
    left = dict(free)
    for name, mine in placed.items():
        for pod in mine:
            left[name] -= pod.room
    for pod in homeless:
        assert not any(left[name].holds(pod.room) for name in pod.nodes & left.keys())
