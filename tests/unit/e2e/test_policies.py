"""The tests' reading of NetworkPolicies, case by case as the API defines them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.network.policies import Flow, Peer, Policies, selects

GATEWAY = Peer("10.0.0.1", "r1", {"app": "gateway"}, {"team": "ml"}, {"api": 8080}, "gateway")
REDIS = Peer("10.0.0.2", "r1", {"app": "redis"}, {"team": "ml"}, {"redis": 6379}, "redis")
STRANGER = Peer("10.0.9.9", "other", {"app": "gateway"}, {"team": "web"}, name="stranger")
OUTSIDE = Peer("192.0.2.7")


def policy(name: str = "p", pods: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": pods} if pods else {}
    return {
        "metadata": {"name": name, "namespace": "r1"},
        "spec": {"podSelector": selector, **spec},
    }


def allows(*documents: dict[str, Any], flow: Flow, blocks: bool = False) -> bool:
    return Policies(documents, blocks_match_pods=blocks).allows(flow)


TO_REDIS = Flow(GATEWAY, REDIS, 6379)
DENY_ALL = policy("deny", policyTypes=["Ingress", "Egress"])


def test_without_policies_everything_passes() -> None:
    assert allows(flow=TO_REDIS)


def test_a_policy_without_rules_denies_both_ways_and_says_so() -> None:
    refusal = Policies([DENY_ALL], blocks_match_pods=False).refusal(TO_REDIS)
    assert refusal == "gateway -> redis:6379/TCP: no egress rule of deny allows it"
    assert not allows(policy(), flow=TO_REDIS)


def test_a_policy_holds_in_its_own_namespace_only() -> None:
    elsewhere = Peer("10.0.9.8", "other", name="elsewhere")
    assert allows(DENY_ALL, flow=Flow(STRANGER, elsewhere, 80))


def test_both_ends_have_to_allow_it() -> None:
    ingress = policy(pods={"app": "redis"}, ingress=[{"from": [{"podSelector": {}}]}])
    egress = policy(
        pods={"app": "gateway"}, policyTypes=["Egress"], egress=[{"to": [{"podSelector": {}}]}]
    )
    assert not allows(DENY_ALL, ingress, flow=TO_REDIS)
    assert not allows(DENY_ALL, egress, flow=TO_REDIS)
    assert allows(DENY_ALL, ingress, egress, flow=TO_REDIS)


def test_rules_add_up() -> None:
    never = policy("a", ingress=[])
    some = policy("b", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}]}])
    assert allows(never, some, flow=TO_REDIS)
    assert not allows(never, some, flow=Flow(REDIS, GATEWAY, 1))


def test_a_pod_selector_means_the_policys_namespace() -> None:
    rule = policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}]}])
    assert allows(rule, flow=TO_REDIS)
    assert not allows(rule, flow=Flow(STRANGER, REDIS, 6379))


def test_namespace_and_pod_selector_together_mean_both() -> None:
    web = {"matchLabels": {"team": "web"}}
    either = [{"namespaceSelector": web}, {"podSelector": {"matchLabels": {"app": "redis"}}}]
    both = [{"namespaceSelector": web, "podSelector": {"matchLabels": {"app": "redis"}}}]
    flow = Flow(STRANGER, REDIS, 6379)
    assert allows(policy(ingress=[{"from": either}]), flow=flow)
    assert not allows(policy(ingress=[{"from": both}]), flow=flow)


def test_ports_by_number_range_name_and_protocol() -> None:
    def to(port: dict[str, Any], flow: Flow) -> bool:
        return allows(policy(ingress=[{"ports": [port]}]), flow=flow)

    assert to({"port": 6379}, TO_REDIS)
    assert not to({"port": 6380}, TO_REDIS)
    assert to({"port": 6000, "endPort": 7000}, TO_REDIS)
    assert not to({"port": 6000, "endPort": 6378}, TO_REDIS)
    assert to({"port": "redis"}, TO_REDIS)
    assert not to({"port": "api"}, TO_REDIS)
    assert to({}, TO_REDIS)
    assert not to({"protocol": "UDP", "port": 6379}, TO_REDIS)
    assert to({"protocol": "UDP", "port": 53}, Flow(GATEWAY, REDIS, 53, "UDP"))


def test_a_rule_without_peers_means_everybody() -> None:
    assert allows(policy(ingress=[{}]), flow=Flow(OUTSIDE, REDIS, 1))
    assert allows(policy(ingress=[{"from": []}]), flow=Flow(STRANGER, REDIS, 1))
    assert not allows(
        policy(ingress=[{"from": [{"podSelector": {}}]}]), flow=Flow(OUTSIDE, REDIS, 1)
    )


def test_blocks_of_addresses_and_what_they_leave_out() -> None:
    block = {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}
    rule = policy(ingress=[{"from": [block]}])
    assert allows(rule, flow=Flow(OUTSIDE, REDIS, 1))
    assert not allows(rule, flow=Flow(Peer("192.0.2.200"), REDIS, 1))


def test_whether_a_block_means_pods_is_the_network_plugins_affair() -> None:
    rule = policy(ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}])
    assert not allows(rule, flow=TO_REDIS)
    assert allows(rule, flow=TO_REDIS, blocks=True)


def test_egress_is_governed_where_there_are_rules_for_it_or_it_is_named() -> None:
    to_redis = [{"to": [{"podSelector": {"matchLabels": {"app": "redis"}}}]}]
    governed = policy(pods={"app": "gateway"}, egress=to_redis, ingress=[{}])
    assert allows(governed, flow=TO_REDIS)
    assert not allows(governed, flow=Flow(GATEWAY, OUTSIDE, 443))
    free = policy(pods={"app": "gateway"}, ingress=[{}])
    assert allows(free, flow=Flow(GATEWAY, OUTSIDE, 443))


EXPRESSIONS = [
    ("In", ["a", "b"], {"x": "a"}, True),
    ("In", ["a", "b"], {}, False),
    ("NotIn", ["a"], {"x": "a"}, False),
    ("NotIn", ["a"], {"x": "c"}, True),
    ("NotIn", ["a"], {}, True),
    ("Exists", None, {"x": ""}, True),
    ("Exists", None, {"y": ""}, False),
    ("DoesNotExist", None, {}, True),
    ("DoesNotExist", None, {"x": "a"}, False),
]


@pytest.mark.parametrize(("operator", "values", "labels", "expected"), EXPRESSIONS)
def test_expressions(
    operator: str, values: list[str] | None, labels: dict[str, str], expected: bool
) -> None:
    selector = {"matchExpressions": [{"key": "x", "operator": operator, "values": values}]}
    assert selects(selector, labels) is expected


LABELS = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("ab"))


@given(LABELS, LABELS)
def test_more_labels_in_a_selector_never_match_more(
    selector: dict[str, str], own: dict[str, str]
) -> None:
    matched = selects({"matchLabels": selector}, own)
    assert matched == (selector.items() <= own.items())
    if matched:
        assert selects({}, own)
