"""Checks of a cluster beside its nodes: versions, operators, rights, quotas. Pure."""

from collections.abc import Iterator

from serving.preflight import needs
from serving.preflight.check import Case, Check, listed, unseen
from serving.preflight.cluster_facts import Cluster
from serving.preflight.cluster_probe import needed_access, needed_apis
from serving.preflight.finding import Finding
from serving.preflight.needs import Api

KUBERAY = "install KubeRay 1.5 or later, its definitions first (helm does not upgrade them)"


def kubernetes_version(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """Kubernetes is new enough."""
    least = ".".join(map(str, needs.LEAST_KUBERNETES))
    if cluster.version is None:
        yield unseen("kubernetes-version", "the version", "the server doesn't say it")
        return
    found = f"Kubernetes {'.'.join(map(str, cluster.version))}"
    if cluster.version < needs.LEAST_KUBERNETES:
        mend = f"upgrade the cluster to {least} or later"
        yield Finding.error("kubernetes-version", f"{found} is too old", mend)
    else:
        yield Finding.ok("kubernetes-version", found)


def namespace(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The namespace exists."""
    name = case.deployment.namespace
    if cluster.namespace is None:
        yield unseen("namespace", name, cluster.refusals.get("namespace", "unknown"))
    elif cluster.namespace:
        yield Finding.ok("namespace", "it exists", name)
    else:
        found = "it doesn't exist, so its quotas, secrets and rules could not be looked at"
        mend = f"`kubectl create namespace {name}`, or install with --create-namespace"
        yield Finding.warning("namespace", found, mend, name)


def ray_api(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """KubeRay's definitions are there and new enough, where its runtime is chosen."""
    yield from _apis("ray-api", _asked(case, needs.RAY_APIS), cluster, KUBERAY)


def monitoring_api(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The Prometheus operator's definitions are there, where monitoring is on."""
    mend = "install the Prometheus operator's definitions, or set `monitoring: false`"
    yield from _apis("monitoring-api", _asked(case, needs.MONITORING_APIS), cluster, mend)


def gateway_api(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The Gateway API is there, where a route is made."""
    mend = "install the Gateway API's standard channel, or set `gateway_api: false`"
    yield from _apis("gateway-api", _asked(case, needs.GATEWAY_APIS), cluster, mend)


def keda_api(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """KEDA is there, where it scales the gateways."""
    mend = "install KEDA, or set `keda: false` to scale by a HorizontalPodAutoscaler"
    yield from _apis("keda-api", _asked(case, needs.KEDA_APIS), cluster, mend)


def _asked(case: Case, apis: tuple[Api, ...]) -> tuple[Api, ...]:
    wanted = needed_apis(case.deployment)
    return tuple(each for each in apis if each in wanted)


def _apis(check: str, apis: tuple[Api, ...], cluster: Cluster, mend: str) -> Iterator[Finding]:
    if not apis:
        yield Finding.ok(check, "not asked for")
        return
    if cluster.apis is None:
        yield unseen(check, "the API's groups", cluster.refusals.get("apis", "unknown"))
        return
    well = True
    for each in apis:
        wrong = _lacks(each, cluster)
        if wrong is not None:
            well = False
            yield Finding.error(check, wrong, mend, f"{each.resource}.{each.group}")
    if well:
        yield Finding.ok(check, listed(f"{each.resource} {each.version}" for each in apis))


def _lacks(api: Api, cluster: Cluster) -> str | None:
    """What is wrong with an API that was looked for."""
    apis = cluster.apis or {}
    versions = sorted(version for group, version in apis if group == api.group)
    if not versions:
        return "the cluster doesn't know it"
    if (api.group, api.version) not in apis:
        return f"it is too old: served as {listed(versions)}, needed as {api.version}"
    if api.resource not in apis[api.group, api.version]:
        return "the cluster doesn't know it"
    fields = cluster.spec_fields.get(f"{api.resource}.{api.group}")
    if api.field and fields is not None and api.field not in fields:
        return f"its definition is too old: it has no field {api.field}"
    return None


def ray_operator(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """KubeRay's operator runs, where its runtime is chosen."""
    if case.deployment.runtime != "kuberay":
        yield Finding.ok("ray-operator", "not asked for")
        return
    found = cluster.ray_operators
    if found is None:
        why = cluster.refusals.get("ray_operators", "unknown")
        yield unseen("ray-operator", "Deployments of other namespaces", why)
    elif not found:
        sentence = "no Deployment has the label app.kubernetes.io/name=kuberay-operator"
        yield Finding.warning("ray-operator", sentence, KUBERAY)
    elif not any(each.available for each in found):
        mend = "look at its pods: `kubectl describe` and `kubectl logs`"
        names = listed(each.name for each in found)
        yield Finding.error("ray-operator", "KubeRay's operator is not available", mend, names)
    else:
        names = listed(f"{each.name} ({each.image})" for each in found if each.available)
        yield Finding.ok("ray-operator", names)


def rbac(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """Who asks may create what the chart creates."""
    if cluster.access is None:
        yield unseen("rbac", "access", cluster.refusals.get("access", "unknown"))
        return
    well = True
    for each in needed_access(case.deployment):
        denied = [
            verb
            for verb in each.verbs
            if not cluster.access.get((each.group, each.resource, verb), False)
        ]
        if denied:
            well = False
            name = f"{each.resource}.{each.group}" if each.group else each.resource
            found = f"you may not {', '.join(denied)} them in {case.deployment.namespace}"
            mend = "bind a Role with these verbs to you, or let an administrator install"
            yield Finding.error("rbac", found, mend, name)
    if well:
        yield Finding.ok("rbac", f"all verbs in {case.deployment.namespace} are allowed")


def runtime_class(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The RuntimeClass of the engine's pods exists."""
    wanted = case.deployment.runtime_class
    if wanted is None:
        yield Finding.ok("runtime-class", "the cluster's default is used")
    elif cluster.runtime_classes is None:
        why = cluster.refusals.get("runtime_classes", "unknown")
        yield unseen("runtime-class", "RuntimeClasses", why)
    elif wanted in cluster.runtime_classes:
        yield Finding.ok("runtime-class", "it exists", wanted)
    else:
        mend = "install the GPU operator, which makes it, or leave `runtime_class` out"
        yield Finding.error("runtime-class", "it doesn't exist", mend, wanted)


CLUSTER_CHECKS: tuple[Check[Cluster], ...] = (
    Check("kubernetes-version", "Kubernetes is new enough", kubernetes_version),
    Check("namespace", "the namespace exists", namespace),
    Check(
        "ray-api",
        "KubeRay's definitions are there and new enough, with `runtime: kuberay`",
        ray_api,
    ),
    Check("ray-operator", "KubeRay's operator runs, with `runtime: kuberay`", ray_operator),
    Check(
        "monitoring-api",
        "the Prometheus operator's definitions, where monitoring is on",
        monitoring_api,
    ),
    Check("gateway-api", "the Gateway API, where a route is made", gateway_api),
    Check("keda-api", "KEDA, where it scales the gateways", keda_api),
    Check("rbac", "who asks may create what the chart creates", rbac),
    Check("runtime-class", "the RuntimeClass of the engine's pods", runtime_class),
)
