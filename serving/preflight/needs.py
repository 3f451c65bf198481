"""What a deployment needs beside its models: versions, objects of the chart, room on a node.

Everything that the checks assume is here, so that it is changed in one place.
"""

from dataclasses import dataclass

GIB = 1024**3

# The engine's wheels are built for CUDA 13 (locks/gpu.txt). CUDA 13 needs a driver of branch 580
# or later: CUDA Toolkit release notes, "CUDA Driver", minor version compatibility.
LEAST_NVIDIA_DRIVER = 580
# One set, as in pyproject.toml.
PACKAGES = {"ray": "2.60.0", "torch": "2.13.0", "vllm": "0.29.0"}
# Sidecars that start before and end after the engine are on by default from here on.
LEAST_KUBERNETES = (1, 29)
# PodSecurity labels of a namespace: RDMA needs memory that is never swapped, and pinning it takes
# the capability IPC_LOCK, which only this level allows.
POD_SECURITY_WITH_RDMA = "privileged"

# Host memory of an engine pod: Python, CUDA contexts and loading buffers. An assumption, on the
# careful side.
POD_BASE_BYTES = 8 * GIB
POD_BYTES_PER_GPU = 6 * GIB
# On processors the engine itself, without weights and KV cache, and Ray's processes beside it: a
# pod of r1-nano takes 1.9 GiB.
CPU_POD_BYTES_PER_RANK = GIB
CPU_POD_BASE_BYTES = GIB // 2
# Cores: a GPU's rank spins on one and needs another for everything else. Engines on processors
# share them.
CPUS_PER_GPU = 2
CPUS_PER_CPU_RANK = 0.25
# Ray's head, two gateways and Redis, which stand beside the engines.
PODS_BESIDE = 4
CPUS_BESIDE = 4
MEMORY_BESIDE_BYTES = 8 * GIB
# Shared memory: ranks of one node hand their messages over in it, and NCCL its buffers.
SHM_BYTES = 2 * GIB
SHM_BYTES_ALONE = 256 * 1024**2
"""Of an engine of one rank: Ray's object store only."""
# Disk on a node: the engine's image unpacked, with CUDA's libraries in it.
IMAGE_BYTES = 25 * GIB
# Room for a download beside its finished files.
WEIGHTS_MARGIN = 1.05
# The driver's figure for a GPU's memory differs a little from board to board.
GPU_MEMORY_TOLERANCE = 0.97
# Files and sockets of one process: a stream each, and Ray's and NCCL's connections to every peer.
OPEN_FILES_GPU = 65536
OPEN_FILES_CPU = 4096
# A shape whose nodes are joined by less than this, in 10^9 bytes a second a GPU, is Ethernet
# without RDMA; 100 Gbit/s is 12.5.
RDMA_GB_S = 12.5
# NVLink's slowest generation in the catalog gives 300; PCIe 5 gives 64.
NVLINK_GB_S = 200.0


@dataclass(frozen=True, slots=True)
class Access:
    """Verbs on one kind of object that installing needs."""

    group: str
    resource: str
    verbs: tuple[str, ...] = ("create", "get", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Api:
    """A kind that an operator brings to the cluster."""

    group: str
    version: str
    resource: str
    field: str = ""
    """A path below `spec` that an old definition lacks; empty to take any."""


# What the chart makes in both runtimes: gateways, Redis, the Job that fills the Secret, and what
# belongs to them. Helm keeps its releases in Secrets.
ALWAYS = (
    Access("", "services"),
    Access("", "configmaps"),
    Access("", "secrets"),
    Access("", "serviceaccounts"),
    Access("", "persistentvolumeclaims"),
    Access("apps", "deployments"),
    Access("apps", "statefulsets"),
    Access("batch", "jobs"),
    Access("policy", "poddisruptionbudgets"),
    Access("networking.k8s.io", "networkpolicies"),
    Access("rbac.authorization.k8s.io", "roles"),
    Access("rbac.authorization.k8s.io", "rolebindings"),
    Access("autoscaling", "horizontalpodautoscalers"),
)
KUBERAY = (Access("ray.io", "rayservices"),)
MONITORING = (
    Access("monitoring.coreos.com", "servicemonitors"),
    Access("monitoring.coreos.com", "prometheusrules"),
)
GATEWAY_API = (Access("gateway.networking.k8s.io", "httproutes"),)
KEDA = (Access("keda.sh", "scaledobjects"),)

# The deletion delay keeps an old cluster until its longest answer is written; operators before
# 1.5 cut it after a minute and have no such field.
RAY_APIS = (
    Api("ray.io", "v1", "rayclusters"),
    Api("ray.io", "v1", "rayservices", "rayClusterDeletionDelaySeconds"),
)
MONITORING_APIS = (
    Api("monitoring.coreos.com", "v1", "servicemonitors"),
    Api("monitoring.coreos.com", "v1", "prometheusrules"),
)
GATEWAY_APIS = (Api("gateway.networking.k8s.io", "v1", "httproutes"),)
KEDA_APIS = (Api("keda.sh", "v1alpha1", "scaledobjects"),)

# Whether a volume can be mounted by several nodes is no field of a StorageClass; it follows from
# the provisioner. Others are not known.
SHARED_PROVISIONERS = (
    "nfs", "efs.csi.aws.com", "fsx.csi.aws.com", "filestore.csi.storage.gke.io", "cephfs",
    "file.csi.azure.com", "lustre", "beegfs", "weka", "gpfs", "spectrumscale", "juicefs",
    "longhorn", "gcsfuse", "s3.csi", "blob.csi.azure.com",
)  # fmt: skip
SINGLE_NODE_PROVISIONERS = (
    "rancher.io/local-path", "kubernetes.io/no-provisioner", "ebs", "pd.csi.storage.gke.io",
    "gce-pd", "disk.csi.azure.com", "azure-disk", "rbd", "cinder", "topolvm", "hostpath", "openebs",
    "local.csi", "vsphere",
)  # fmt: skip

# Which nodes an autoscaler adds together.
POOL_LABELS = (
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "karpenter.sh/nodepool",
    "kubernetes.azure.com/agentpool",
    "node.kubernetes.io/instance-type",
)
