"""What NetworkPolicies allow, by the API's definition (networking.k8s.io/v1). Pure.

A test's own reading of them, because the kit's cluster stores policies without enforcing any.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod, or with no namespace an address outside of all pods."""

    ip: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace_labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    ports: Mapping[str, int] = field(default_factory=dict, hash=False)
    """A pod's named ports."""
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.ip


@dataclass(frozen=True)
class Flow:
    """A connection, or a datagram, to a port."""

    source: Peer
    target: Peer
    port: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}:{self.port}/{self.protocol}"


def selects(selector: Document, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions", ()))


def _holds(expression: Document, labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    within = labels.get(key) in expression["values"] and key in labels
    return within if operator == "In" else not within


class Policies:
    """All policies of a cluster."""

    def __init__(self, documents: Sequence[Document], *, blocks_match_pods: bool) -> None:
        """`documents` have a namespace each.

        `blocks_match_pods`: whether an ipBlock also means pods, which the API leaves to the network
        plugin. A needed flow has to be allowed where it doesn't, a forbidden one denied where it
        does.
        """
        self._documents = documents
        self._blocks_match_pods = blocks_match_pods

    def refusal(self, flow: Flow) -> str | None:
        """Which side denies a flow, and the policies that it falls under; None: it is allowed."""
        sides = (
            ("egress", "to", flow.source, flow.target),
            ("ingress", "from", flow.target, flow.source),
        )
        for direction, word, own, other in sides:
            under = [each for each in self._documents if _governs(each, direction, own)]
            rules = [
                (each["metadata"]["namespace"], rule)
                for each in under
                for rule in each["spec"].get(direction) or ()
            ]
            if under and not any(self._passes(*rule, word, other, flow) for rule in rules):
                names = ", ".join(each["metadata"]["name"] for each in under)
                return f"{flow}: no {direction} rule of {names} allows it"
        return None

    def allows(self, flow: Flow) -> bool:
        """Whether both ends' policies let a flow pass."""
        return self.refusal(flow) is None

    def _passes(self, namespace: str, rule: Document, word: str, other: Peer, flow: Flow) -> bool:
        peers, ports = rule.get(word), rule.get("ports")
        return (not peers or any(self._is(each, namespace, other) for each in peers)) and (
            not ports or any(_port(each, flow) for each in ports)
        )

    def _is(self, described: Document, namespace: str, peer: Peer) -> bool:
        if "ipBlock" in described:
            if peer.namespace and not self._blocks_match_pods:
                return False
            block = described["ipBlock"]
            inside = _within(peer.ip, block["cidr"])
            return inside and not any(_within(peer.ip, each) for each in block.get("except", ()))
        if not peer.namespace:
            return False
        spaces, pods = described.get("namespaceSelector"), described.get("podSelector")
        if spaces is None:
            here = peer.namespace == namespace
        else:
            here = selects(spaces, peer.namespace_labels)
        return here and selects(pods or {}, peer.labels)


def _governs(document: Document, direction: str, peer: Peer) -> bool:
    spec = document["spec"]
    # Ingress by default, and egress where there are rules for it.
    usual = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    return (
        direction.capitalize() in (spec.get("policyTypes") or usual)
        and document["metadata"]["namespace"] == peer.namespace
        and selects(spec.get("podSelector") or {}, peer.labels)
    )


def _port(described: Document, flow: Flow) -> bool:
    if described.get("protocol", "TCP") != flow.protocol:
        return False
    port = described.get("port")
    if port is None:
        return True
    if isinstance(port, str):
        return flow.target.ports.get(port) == flow.port
    last: int = described.get("endPort", port)
    return bool(port <= flow.port <= last)


def _within(ip: str, cidr: str) -> bool:
    return ipaddress.ip_address(ip) in ipaddress.ip_network(cidr)
