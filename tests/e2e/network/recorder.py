"""Connections of a release's pods, recorded in the cluster."""

from collections.abc import Mapping
from typing import Any

from tests.e2e.network.policies import Flow, Peer
from tests.e2e.network.sockets import Sockets, flows, read
from tests.e2e.release import Release
from tests.e2e.tools import CommandError

DNS = {"k8s-app": "kube-dns"}


class Recorder:
    """Looks at the sockets of all running pods of a namespace, again and again."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._peers: dict[str, Peer] = {}
        self._services: dict[tuple[str, int], list[tuple[str, int]]] = {}
        self.listening: dict[Peer, set[int]] = {}
        self.flows: set[Flow] = set()

    def look(self) -> None:
        """Take one more picture."""
        self._learn()
        seen: dict[str, Sockets] = {}
        for pod in self._release.get("pods", "--field-selector=status.phase=Running"):
            ip = pod["status"].get("podIP")
            if ip is None or pod["spec"].get("hostNetwork"):
                continue
            seen[ip] = read(self._sockets(pod))
            self.listening.setdefault(self._peers[ip], set()).update(seen[ip].listening)
        for source, target, port in flows(seen):
            for address, number in self._services.get((target, port), [(target, port)]):
                self.flows.add(Flow(self.peer(source), self.peer(address), number))

    def peer(self, ip: str) -> Peer:
        """The pod with an address, or a peer outside of all pods."""
        return self._peers.get(ip, Peer(ip))

    def between_pods(self) -> list[Flow]:
        """Flows that begin at a pod: a node's own (probes, NodePorts) are not a policy's affair."""
        return [each for each in self.flows if each.source.namespace]

    def names(self) -> list[Flow]:
        """Every pod asks for names: datagrams are not seen in a list of sockets."""
        servers = [
            each
            for each in self._peers.values()
            if each.namespace == "kube-system" and DNS.items() <= each.labels.items()
        ]
        return [
            Flow(pod, server, 53, protocol)
            for pod in self.listening
            for server in servers
            for protocol in ("UDP", "TCP")
        ]

    def edges(self) -> set[tuple[str, str]]:
        """Which components were seen talking to which."""
        found = {(component(each.source), component(each.target)) for each in self.flows}
        return {(source, target) for source, target in found if source and target}

    def _sockets(self, pod: Mapping[str, Any]) -> str:
        name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
        files = ("/proc/net/tcp", "/proc/net/tcp6")
        # The gateway's image has no shell and no tools, Redis's no Python.
        python = f"print(*(open(name).read() for name in {files}), sep='')"
        inside = ("exec", name, "-c", container, "--")
        try:
            return self._release.kubectl(*inside, "python", "-c", python)
        except CommandError:
            return self._release.kubectl(*inside, "cat", *files)

    def _learn(self) -> None:
        spaces = {
            each["metadata"]["name"]: each["metadata"].get("labels", {})
            for each in self._release.tools.get("namespaces")
        }
        for pod in self._release.tools.get("pods"):
            if "podIP" not in pod["status"] or pod["spec"].get("hostNetwork"):
                continue
            space = pod["metadata"]["namespace"]
            self._peers[pod["status"]["podIP"]] = Peer(
                pod["status"]["podIP"],
                space,
                pod["metadata"].get("labels", {}),
                spaces[space],
                {
                    port["name"]: port["containerPort"]
                    for container in pod["spec"]["containers"]
                    for port in container.get("ports", ())
                    if "name" in port
                },
                f"{space}/{pod['metadata']['name']}",
            )
        self._learn_services()

    def _learn_services(self) -> None:
        """From a Service's address and port to those of the pods behind it."""
        tools = self._release.tools
        behind: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for part in tools.get("endpointslices"):
            service = part["metadata"].get("labels", {}).get("kubernetes.io/service-name", "")
            behind.setdefault((part["metadata"]["namespace"], service), []).append(part)
        for service in tools.get("services"):
            ip = service["spec"].get("clusterIP", "None")
            where = (service["metadata"]["namespace"], service["metadata"]["name"])
            for port in service["spec"].get("ports", ()):
                self._services[ip, port["port"]] = [
                    (address, each["port"])
                    for part in behind.get(where, ())
                    for each in part.get("ports") or ()
                    if (each.get("name") or "") == port.get("name", "")
                    for endpoint in part.get("endpoints") or ()
                    for address in endpoint["addresses"]
                ]


def component(peer: Peer) -> str:
    """What a pod of the release is; empty for everybody else."""
    return peer.labels.get("app.kubernetes.io/component", "")
