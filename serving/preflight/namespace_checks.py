"""Checks of what the namespace allows and holds: storage, quotas, policies, secrets. Pure."""

from collections.abc import Iterator

from serving.preflight import needs
from serving.preflight.check import Case, Check, listed, size, unseen
from serving.preflight.cluster_facts import Cluster, StorageClass
from serving.preflight.cluster_probe import REGISTRY_SECRET
from serving.preflight.finding import Finding
from serving.preflight.nccl import engine_setting_findings, nccl_findings
from serving.preflight.sample_pod import gpu_resource

ENFORCE = "pod-security.kubernetes.io/enforce"
# Resources that are bytes, for readers of a finding.
IN_BYTES = ("memory", "storage")


def storage_class(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The StorageClass of the weights' claim exists."""
    if not _has_claim(case):
        yield Finding.ok("storage-class", "no claim is made")
        return
    if cluster.storage_classes is None:
        why = cluster.refusals.get("storage_classes", "unknown")
        yield unseen("storage-class", "StorageClasses", why)
        return
    chosen, wanted = _chosen(case, cluster), case.deployment.storage.storage_class
    names = listed(each.name for each in cluster.storage_classes) or "none"
    if chosen is not None:
        yield Finding.ok("storage-class", f"{chosen.provisioner}", chosen.name)
    elif wanted is None:
        found = f"no StorageClass is the default one; there are: {names}"
        yield Finding.error("storage-class", found, "choose one with --storage-class")
    else:
        found = f"it doesn't exist; there are: {names}"
        yield Finding.error("storage-class", found, "choose one of them, or make it", wanted)


def storage_access(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """A claim that several nodes mount is of a class that can be shared."""
    chosen = _chosen(case, cluster)
    most = sum(each.most_replicas * each.pods for each in case.fetched)
    if not _has_claim(case) or chosen is None or most < 2:
        yield Finding.ok("storage-access", "no volume is shared by nodes")
        return
    provisioner = chosen.provisioner.lower()
    if any(each in provisioner for each in needs.SHARED_PROVISIONERS):
        yield Finding.ok("storage-access", "several nodes can mount its volumes", chosen.name)
        return
    mend = (
        "choose a class with ReadWriteMany, such as NFS, CephFS or a cloud's file store, or keep "
        "the weights on the nodes (storage.place: node)"
    )
    found = f"up to {most} pods share the weights, and volumes of {chosen.provisioner} "
    if any(each in provisioner for each in needs.SINGLE_NODE_PROVISIONERS):
        found += "can be mounted on one node only"
        yield Finding.error("storage-access", found, mend, chosen.name)
    else:
        found += "may not be shareable: it is not a provisioner that is known here"
        yield Finding.warning("storage-access", found, mend, chosen.name)


def _has_claim(case: Case) -> bool:
    """Whether the chart makes a claim for weights."""
    return case.deployment.storage.place == "claim" and bool(case.fetched)


def _chosen(case: Case, cluster: Cluster) -> StorageClass | None:
    wanted = case.deployment.storage.storage_class
    for each in cluster.storage_classes or ():
        if each.name == wanted or (wanted is None and each.default):
            return each
    return None


def asked_of_quotas(case: Case) -> dict[str, float]:
    """What the deployment adds up to, by the names that quotas use."""
    asked = {"cpu": float(needs.CPUS_BESIDE), "memory": float(needs.MEMORY_BESIDE_BYTES)}
    pods = float(needs.PODS_BESIDE)
    for demand in case.demands:
        count = demand.replicas * demand.pods
        pods += count
        asked["cpu"] += count * demand.cpus
        asked["memory"] += count * demand.memory_bytes
        if demand.gpus:
            name = gpu_resource(demand)
            asked[name] = asked.get(name, 0.0) + count * demand.gpus
    if _has_claim(case):
        weights = {each.engine.source: each.weight_bytes for each in case.fetched}
        asked["storage"] = sum(weights.values()) * needs.WEIGHTS_MARGIN
    for name, amount in list(asked.items()):
        asked |= {f"requests.{name}": amount, f"limits.{name}": amount}
    return {**asked, "pods": pods, "count/pods": pods}


def quota(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The namespace's quotas leave enough."""
    if cluster.quotas is None:
        yield unseen("quota", "quotas", cluster.refusals.get("quotas", "unknown"))
        return
    asked = asked_of_quotas(case)
    well = True
    for each in cluster.quotas:
        for name, hard in each.hard.items():
            left = hard - each.used.get(name, 0.0)
            if asked.get(name, 0.0) <= left:
                continue
            well = False
            found = f"{name}: {_amount(name, left)} left, {_amount(name, asked[name])} needed"
            mend = f"raise {name} in the quota, or choose another namespace"
            report = Finding.warning if each.scoped else Finding.error
            yield report("quota", found, mend, each.name)
    if well:
        yield Finding.ok("quota", f"{len(cluster.quotas)} quotas leave enough")


def limit_range(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The namespace's limits let one pod be as large as it has to be."""
    if cluster.limits is None:
        yield unseen("limit-range", "LimitRanges", cluster.refusals.get("limits", "unknown"))
        return
    well = True
    for each in cluster.limits:
        for demand in case.demands:
            asked = {"memory": demand.memory_bytes, "cpu": demand.cpus}
            asked |= {gpu_resource(demand): demand.gpus} if demand.gpus else {}
            for name, amount in asked.items():
                if name in each.most and amount > each.most[name]:
                    well = False
                    most = _amount(name, each.most[name])
                    needed = _amount(name, amount)
                    found = f"{name}: at most {most}, a pod of {demand.name} needs {needed}"
                    mend = f"raise max.{name} in the LimitRange, or choose another namespace"
                    yield Finding.error("limit-range", found, mend, each.name)
    if well:
        yield Finding.ok("limit-range", f"{len(cluster.limits)} LimitRanges allow the pods")


def _amount(name: str, value: float) -> str:
    return size(value) if name.endswith(IN_BYTES) else f"{value:g}"


def pod_security(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The namespace's Pod Security level lets RDMA pin memory, where an engine spans nodes."""
    if cluster.namespace is None:
        why = cluster.refusals.get("namespace", "unknown")
        yield unseen("pod-security", "the namespace", why)
        return
    level = cluster.namespace_labels.get(ENFORCE, needs.POD_SECURITY_WITH_RDMA)
    if not case.over_rdma or level == needs.POD_SECURITY_WITH_RDMA:
        yield Finding.ok("pod-security", f"the level is {level}")
        return
    models = listed(each.name for each in case.over_rdma)
    found = f"the level is {level}, and RDMA between the nodes of {models} needs IPC_LOCK"
    mend = (
        f"label the namespace {ENFORCE}={needs.POD_SECURITY_WITH_RDMA}, or choose a machine shape "
        "of one node"
    )
    yield Finding.error("pod-security", found, mend, case.deployment.namespace)


def admission(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The API server would take one pod of each model: quotas, policies and webhooks together."""
    if cluster.admission is None:
        why = "the namespace doesn't exist, or you may not create pods in it"
        yield Finding.info("admission", f"not tried: {why}")
        return
    for model, objection in cluster.admission.items():
        if objection is None:
            yield Finding.ok("admission", "the API server would take its pod", model)
        else:
            mend = "change the policy, quota or webhook that it names"
            yield Finding.error("admission", f"its pod is refused: {objection}", mend, model)


def pull_secret(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The secret for pulling the image exists and is one for registries."""
    name = case.deployment.pull_secret
    if name is None:
        yield Finding.ok("pull-secret", "none is used")
    elif name not in cluster.secrets:
        yield unseen("pull-secret", name, cluster.refusals.get("secrets", "unknown"))
    elif cluster.secrets[name] == REGISTRY_SECRET:
        yield Finding.ok("pull-secret", "it exists", name)
    else:
        there = cluster.secrets[name] is not None
        found = "it is no registry secret" if there else "it doesn't exist"
        mend = f"`kubectl -n {case.deployment.namespace} create secret docker-registry {name} …`"
        yield Finding.error("pull-secret", found, mend, name)


def image(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The image has a fixed version, and can be pulled where that was tried."""
    name = case.deployment.image
    if name is None:
        yield Finding.info("image", "none was given (--image), so it was not looked at")
        return
    if cluster.pull:
        mend = "check the name, --pull-secret and the nodes' way to the registry"
        yield Finding.error("image", f"it can't be pulled: {cluster.pull}", mend, name)
        return
    if "@" not in name:
        tag = name.rpartition("/")[2].partition(":")[2]
        if tag in {"", "latest"}:
            mend = "name a version or a digest"
            found = "its tag moves, so pods of one deployment may run different versions"
            yield Finding.warning("image", found, mend, name)
            return
    if cluster.pull == "":
        yield Finding.ok("image", "it was pulled", name)
    elif any(name in node.images for node in cluster.nodes or ()):
        yield Finding.ok("image", "it lies on a node", name)
    elif "pull" in cluster.refusals:
        yield unseen("image", "pulling it", cluster.refusals["pull"])
    else:
        yield Finding.info("image", "whether it can be pulled was not tried (--pull)", name)


def hub_token(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The secret with the hub's token exists, where a model's weights are gated."""
    name = case.deployment.hub_token_secret
    gated = [each.name for each in case.demands if each.gated]
    if name is None and gated:
        mend = "accept the terms, put a token into a secret, and name it (--hub-token-secret)"
        found = "its weights are gated and no secret with a token is named"
        yield from (Finding.error("hub-token", found, mend, each) for each in gated)
    elif name is None:
        yield Finding.ok("hub-token", "no model needs one")
    elif name not in cluster.secrets:
        yield unseen("hub-token", name, cluster.refusals.get("secrets", "unknown"))
    elif cluster.secrets[name] is None:
        mend = f"`kubectl -n {case.deployment.namespace} create secret generic {name} …`"
        yield Finding.error("hub-token", "it doesn't exist", mend, name)
    else:
        yield Finding.ok("hub-token", "it exists", name)


def nccl(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """No setting of the deployment keeps ranks from each other."""
    found = list(
        nccl_findings(
            case.deployment.environment,
            ranks=max((each.ranks for each in case.on_gpus), default=0),
            several_nodes=bool(case.several_nodes),
            rdma=bool(case.over_rdma),
        )
    )
    yield from found or [Finding.ok("nccl", "no setting is in the way")]


def engine_settings(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """No setting of the engine does harm, or nothing."""
    found = list(engine_setting_findings(case.deployment.environment))
    yield from found or [Finding.ok("engine-settings", "none does harm")]


NAMESPACE_CHECKS: tuple[Check[Cluster], ...] = (
    Check("storage-class", "the StorageClass of the weights' claim", storage_class),
    Check("storage-access", "a claim that nodes share can be shared", storage_access),
    Check("quota", "the namespace's quotas leave enough", quota),
    Check("limit-range", "its LimitRanges allow pods of this size", limit_range),
    Check("pod-security", "its Pod Security level allows what RDMA needs", pod_security),
    Check("admission", "the API server takes an engine's pod in a dry run", admission),
    Check("pull-secret", "the secret for pulling the image", pull_secret),
    Check("hub-token", "the secret with a token for gated weights", hub_token),
    Check("nccl", "no setting of NCCL or Gloo is in the way", nccl),
    Check("engine-settings", "no setting of the engine does harm", engine_settings),
    Check("image", "the image has a fixed version and, with --pull, can be pulled", image),
)
