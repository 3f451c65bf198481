"""PodSecurity's profile `restricted`, as a function of a pod. Pure.

By https://kubernetes.io/docs/concepts/security/pod-security-standards/ (v1.34), for Linux.
"""

from collections.abc import Iterator
from typing import Any

from tests.chart.helm import containers

Pod = dict[str, Any]
_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SECCOMP = {"RuntimeDefault", "Localhost"}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def violations(pod: Pod) -> list[str]:
    """What the profile forbids of a pod, a line each."""
    return [*_of_pod(pod["spec"]), *(v for c in containers(pod) for v in _of_container(c, pod))]


def _of_pod(spec: Pod) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name}"
    for volume in spec.get("volumes", ()):
        for kind in set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    context = spec.get("securityContext", {})
    if context.get("sysctls"):
        yield "sysctls"
    if context.get("seLinuxOptions"):
        yield "seLinuxOptions"


def _of_container(container: Pod, pod: Pod) -> Iterator[str]:
    name = container["name"]
    own = container.get("securityContext", {})
    both = {**pod["spec"].get("securityContext", {}), **own}
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    if both.get("runAsNonRoot") is not True:
        yield f"{name}: runAsNonRoot is not set"
    if both.get("runAsUser") == 0:
        yield f"{name}: runs as root"
    if both.get("seccompProfile", {}).get("type") not in _SECCOMP:
        yield f"{name}: no seccomp profile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield f"{name}: keeps capabilities"
    for added in set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capability {added}"
    for port in container.get("ports", ()):
        if port.get("hostPort"):
            yield f"{name}: host port {port['hostPort']}"
    for probe in (container.get(each, {}) for each in _PROBES):
        for action in ("httpGet", "tcpSocket"):
            if probe.get(action, {}).get("host"):
                yield f"{name}: a probe of another host"
