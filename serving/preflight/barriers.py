"""What keeps an engine's pod off a node, or makes it doubtful: one function a reason. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from serving.preflight import needs
from serving.preflight.check import size
from serving.preflight.cluster_facts import Node, Taint
from serving.preflight.demand import Demand
from serving.preflight.deployment import Deployment, Toleration

MIB = 1024**2
# Taints that the cluster itself sets; the conditions behind them have barriers of their own.
OWN_TAINTS = "node.kubernetes.io/"
RDMA_RESOURCES = re.compile(
    r"rdma/|vpc\.amazonaws\.com/efa$|nvidia\.com/(hostdev|sriov)|networking\.gke\.io\.networks/rdma"
)
RDMA_LABELS = (
    "feature.node.kubernetes.io/rdma.available",
    "feature.node.kubernetes.io/rdma.capable",
    "feature.node.kubernetes.io/pci-15b3.present",
)
DRIVER_LABELS = ("nvidia.com/cuda.driver-version.major", "nvidia.com/cuda.driver.major")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something about a node; `blocks` tells whether a pod can't run there at all."""

    found: str
    blocks: bool = True


@dataclass(frozen=True, slots=True)
class Barrier:
    """One reason, with what to do about it."""

    id: str
    looks_at: str
    mend: str
    look: Callable[[Node, Demand, Deployment], Obstacle | None]


def node_ready(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The node runs pods."""
    if not node.ready:
        return Obstacle("is not ready")
    return Obstacle(f"is under {', '.join(node.pressures)}") if node.pressures else None


def node_cordoned(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The node takes new pods."""
    return Obstacle("is cordoned: it takes no new pods") if node.cordoned else None


def node_selector(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The node has the labels that the deployment asks for."""
    lacking = [
        f"{name}={value}"
        for name, value in deployment.node_selector.items()
        if node.labels.get(name) != value
    ]
    return Obstacle(f"lacks the label {', '.join(lacking)}") if lacking else None


def taint(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The deployment tolerates the node's taints."""
    kept_off = [
        str(each)
        for each in node.taints
        if each.effect in {"NoSchedule", "NoExecute"}
        and not each.key.startswith(OWN_TAINTS)
        and not any(tolerates(one, each) for one in deployment.tolerations)
    ]
    return Obstacle(f"has the taint {', '.join(kept_off)}") if kept_off else None


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Tell whether a pod with the toleration bears the taint, by Kubernetes' rules."""
    if toleration.effect is not None and toleration.effect != taint.effect:
        return False
    if toleration.key is None:
        return toleration.operator == "Exists"
    if toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or toleration.value == taint.value


def gpu_plugin(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The GPUs are offered to pods."""
    if demand.gpus and node.has_gpu_hardware and not node.gpus:
        return Obstacle("has GPUs by its labels, but offers none to pods")
    return None


def gpu_count(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The node has as many GPUs as one pod needs."""
    if 0 < node.gpus < demand.gpus:
        return Obstacle(f"has {node.gpus} GPUs, a pod of {demand.name} needs {demand.gpus}")
    return None


def gpu_label(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """A label says what the GPUs are."""
    if demand.gpus and node.product is None:
        return Obstacle("says by no label which GPUs it has", blocks=False)
    return None


def gpu_sliced(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The GPUs are offered whole."""
    product, labels = node.product or "", node.labels
    if not demand.gpus:
        return None
    if "-MIG-" in product or any(each.startswith("nvidia.com/mig-") for each in node.allocatable):
        return Obstacle("offers slices of its GPUs (MIG)")
    replicas = labels.get("nvidia.com/gpu.replicas", "1")
    if product.endswith("-SHARED") or (replicas.isdecimal() and int(replicas) > 1):
        return Obstacle(f"shares each of its GPUs between {replicas} pods")
    return None


def gpu_memory(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """Each GPU has the memory that the plan counts with."""
    label = node.labels.get("nvidia.com/gpu.memory", "")
    gpu = demand.machine.gpu
    if gpu is None or not label.isdecimal():
        return None
    there, planned = int(label) * MIB, demand.machine.memory_bytes
    if there >= planned * needs.GPU_MEMORY_TOLERANCE:
        return None
    return Obstacle(f"has {size(there)} a GPU, {demand.machine.id} means {size(planned)}")


def driver(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The NVIDIA driver is new enough for the engine's CUDA."""
    gpu = demand.machine.gpu
    if gpu is None or gpu.vendor == "amd":
        return None
    major = next((node.labels[each] for each in DRIVER_LABELS if each in node.labels), None)
    if major is None or not major.isdecimal():
        return Obstacle("says by no label which driver it has", blocks=False)
    if int(major) < needs.LEAST_NVIDIA_DRIVER:
        return Obstacle(f"has driver {major}, the engine needs {needs.LEAST_NVIDIA_DRIVER}")
    return None


def interconnect(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """An engine that spans nodes has RDMA between them, where its machine shape says so."""
    link = demand.machine.link_between_nodes_gb_s
    if link is None or not demand.rdma:
        return None
    if any(amount > 0 and RDMA_RESOURCES.match(name) for name, amount in node.allocatable.items()):
        return None
    if any(node.labels.get(each) == "true" for each in RDMA_LABELS):
        return Obstacle("has an RDMA card by its labels, but offers it to no pod", blocks=False)
    return Obstacle(
        f"offers no RDMA device, and {demand.machine.id} counts with {link.value:g} GB/s between "
        "nodes"
    )


def host_memory(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The node has memory for one pod."""
    there = node.allocatable.get("memory")
    if there is None or there >= demand.memory_bytes:
        return None
    return Obstacle(f"has {size(there)} of memory, a pod needs {size(demand.memory_bytes)}")


def disk(node: Node, demand: Demand, deployment: Deployment) -> Obstacle | None:
    """The node's own disk holds the image, and the weights where they lie there."""
    there = node.allocatable.get("ephemeral-storage")
    asked = float(needs.IMAGE_BYTES if demand.gpus else 0)
    what = "the image"
    if deployment.storage.place == "node" and demand.fetched:
        asked += demand.weight_bytes * needs.WEIGHTS_MARGIN
        what = "the image and the weights"
    if there is None or there >= asked:
        return None
    return Obstacle(f"has {size(there)} of disk for pods, {what} need {size(asked)}")


BARRIERS = (
    Barrier("node-ready", "nodes are ready and under no pressure",
            "look at `kubectl describe node`: its kubelet, its disk, its memory", node_ready),
    Barrier("node-cordoned", "nodes take new pods",
            "`kubectl uncordon` it when its maintenance is over", node_cordoned),
    Barrier("node-selector", "nodes have the labels of `node_selector`",
            "label the node, or change `node_selector`", node_selector),
    Barrier("taint", "taints are tolerated",
            "add the taint to `tolerations` (--toleration), or take it off the node", taint),
    Barrier("gpu-plugin", "GPUs are offered to pods",
            "install the vendor's GPU operator, or look at its device plugin on the node",
            gpu_plugin),
    Barrier("gpu-count", "a node has the GPUs of one pod",
            "take nodes with as many GPUs, another machine shape, or less tensor parallelism",
            gpu_count),
    Barrier("gpu-label", "labels say which GPUs a node has",
            "install GPU feature discovery, which labels nodes", gpu_label),
    Barrier("gpu-sliced", "GPUs are whole: neither MIG slices nor shared",
            "turn MIG and time-slicing off on the nodes of engines", gpu_sliced),
    Barrier("gpu-memory", "each GPU has the memory that the plan counts with",
            "take the machine shape of these GPUs, or nodes with larger ones", gpu_memory),
    Barrier("driver", "the GPU driver is new enough for the engine's CUDA",
            f"install a driver of branch {needs.LEAST_NVIDIA_DRIVER} or later, and GPU feature "
            "discovery to label nodes with it", driver),
    Barrier("interconnect", "engines that span nodes have RDMA between them",
            "install the network operator that offers rdma/… devices, or describe a machine "
            "shape with the links that are there", interconnect),
    Barrier("host-memory", "host memory for loading, buffers and shared memory",
            "take nodes with more memory", host_memory),
    Barrier("disk", "disk for the image, and for the weights where they lie on nodes",
            "give nodes larger disks, or keep the weights in a claim (storage.place: claim)",
            disk),
)  # fmt: skip
