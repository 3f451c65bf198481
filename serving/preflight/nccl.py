"""What is wrong with the settings of NCCL, Gloo and the engine in an environment. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from serving.preflight.finding import Finding

# Settings that say which of the engine's kernels or transports to use and that this vLLM no longer
# reads, with what took their place.
GONE = {
    "VLLM_ATTENTION_BACKEND": "--attention-backend",
    "VLLM_ALL2ALL_BACKEND": "--all2all-backend",
    "VLLM_USE_FLASHINFER_MOE_FP4": "--moe-backend",
    "VLLM_USE_FLASHINFER_MOE_FP8": "--moe-backend",
    "VLLM_MOE_DP_CHUNK_SIZE": "nothing: it is chosen by itself",
}
RANDOM_ROUTING = "VLLM_MOE_ROUTING_SIMULATION_STRATEGY"
DEVELOPMENT = "VLLM_SERVER_DEV_MODE"
INTERFACES = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME")
DEVICES = "NCCL_IB_HCA"
SLOWER = {
    "NCCL_P2P_DISABLE": "GPUs of a node then talk through host memory instead of NVLink or PCIe",
    "NCCL_SHM_DISABLE": "GPUs of a node then talk through the network where they can't directly",
}
NO_RDMA = "NCCL_IB_DISABLE"
TALKATIVE = "NCCL_DEBUG"
LOOKED_AT = (
    *GONE, RANDOM_ROUTING, DEVELOPMENT, *INTERFACES, DEVICES, *SLOWER, NO_RDMA, TALKATIVE,
)  # fmt: skip
"""All settings that are ever read; none of them is a secret."""

ON = {"1", "true", "yes"}


def nccl_findings(
    environment: Mapping[str, str],
    *,
    ranks: int,
    several_nodes: bool,
    rdma: bool = False,
    interfaces: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
) -> Iterator[Finding]:
    """Findings about how ranks reach each other.

    Args:
        environment: the settings.
        ranks: of the largest engine, on one node.
        several_nodes: an engine spans nodes.
        rdma: it counts with RDMA between them.
        interfaces: network interfaces of the node; None where they are not known.
        devices: its RDMA devices; None likewise.
    """
    for name, why in SLOWER.items():
        if ranks > 1 and _on(environment, name):
            yield Finding.warning("nccl", f"{name} is set: {why}", f"unset {name}", name)
    if rdma and _on(environment, NO_RDMA):
        found = "RDMA is turned off, so that nodes talk through TCP"
        yield Finding.error("nccl", found, f"unset {NO_RDMA}", NO_RDMA)
    if several_nodes or ranks > 1:
        for name in INTERFACES:
            if interfaces is not None and not matches(environment.get(name, ""), interfaces):
                found = f"`{environment[name]}` matches none of {', '.join(interfaces) or 'none'}"
                yield Finding.error("nccl", found, f"name an interface of the node in {name}", name)
    if rdma and devices is not None and not matches(environment.get(DEVICES, ""), devices):
        found = f"`{environment[DEVICES]}` matches none of {', '.join(devices) or 'no device'}"
        yield Finding.error("nccl", found, f"name an RDMA device of the node in {DEVICES}", DEVICES)
    if environment.get(TALKATIVE, "").upper() in {"INFO", "TRACE"}:
        found = "every communicator writes to the log"
        yield Finding.info("nccl", found, TALKATIVE)


def matches(pattern: str, names: Sequence[str]) -> bool:
    """Tell whether NCCL finds something by a list of names as it reads them.

    Prefixes with commas between them; `=` before the list takes whole names, `^` all but these
    (NCCL's documentation of NCCL_SOCKET_IFNAME and NCCL_IB_HCA). A port after a colon is left out.
    An empty list means any.
    """
    if not pattern:
        return True
    inverted, exact = pattern.startswith("^"), pattern.lstrip("^").startswith("=")
    wanted = [each.partition(":")[0] for each in pattern.lstrip("^=").split(",") if each]
    hit = {
        name
        for name in names
        for each in wanted
        if (name == each if exact else name.startswith(each))
    }
    return bool(set(names) - hit) if inverted else bool(hit)


def engine_setting_findings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Findings about settings of vLLM that do harm or nothing."""
    if environment.get(RANDOM_ROUTING):
        found = "tokens go to random experts: answers are wrong, with status 200"
        mend = f"unset {RANDOM_ROUTING}"
        yield Finding.error("engine-settings", found, mend, RANDOM_ROUTING)
    if _on(environment, DEVELOPMENT):
        found = "routes are open that put the engine to sleep and reset its caches"
        mend = f"unset {DEVELOPMENT}"
        yield Finding.warning("engine-settings", found, mend, DEVELOPMENT)
    for name, instead in GONE.items():
        if name in environment:
            found = "this vLLM doesn't read it any more"
            mend = f"unset it; in its place: {instead}"
            yield Finding.warning("engine-settings", found, mend, name)


def _on(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").strip().lower() in ON
