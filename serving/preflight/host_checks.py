"""Checks of a machine beside its GPUs: memory, disk, limits, ports, software. Pure."""

from collections.abc import Iterator

from serving.preflight import needs
from serving.preflight.check import Case, Check, size, unseen
from serving.preflight.finding import Finding
from serving.preflight.host_facts import Host, Weights
from serving.weights.cache import LIMIT_VARIABLE, ROOT_VARIABLE

X86 = {"x86_64", "amd64"}


def host_memory(case: Case, host: Host) -> Iterator[Finding]:
    """There is memory for loading, buffers and, on processors, for weights and KV cache."""
    if host.memory_bytes is None or host.available_bytes is None:
        yield unseen("host-memory", "the memory", "the system doesn't tell")
        return
    asked = sum(each.memory_bytes * each.replicas for each in case.demands)
    mend = "serve fewer or smaller models, or take a machine with more memory"
    if host.memory_bytes < asked:
        found = f"{size(host.memory_bytes)}, but {size(asked)} are needed"
        yield Finding.error("host-memory", found, mend)
    elif host.available_bytes < asked:
        found = f"{size(host.available_bytes)} are free, but {size(asked)} are needed"
        yield Finding.warning("host-memory", found, "end other programs, or " + mend)
    else:
        found = f"{size(host.available_bytes)} are free, {size(asked)} needed"
        yield Finding.ok("host-memory", found)


def shm(case: Case, host: Host) -> Iterator[Finding]:
    """Shared memory holds what ranks hand over in it."""
    if host.shm_bytes is None:
        yield unseen("shm", "shared memory", "it can't be read")
        return
    asked = sum(each.shm_bytes * each.replicas for each in case.demands)
    found = f"{size(host.shm_bytes)} are free in /dev/shm, {size(asked)} needed"
    if host.shm_bytes < asked:
        mend = "in a container: --shm-size or --ipc=host; else remount /dev/shm with a larger size"
        yield Finding.error("shm", found, mend)
    else:
        yield Finding.ok("shm", found)


def disk(case: Case, host: Host) -> Iterator[Finding]:
    """The disk holds the weights that have to be fetched."""
    asked: dict[str, float] = {}
    places: dict[str, Weights] = {}
    for demand in case.demands:
        there = host.weights.get(demand.name)
        if not demand.fetched or there is None or not there.problem:
            continue
        asked[there.place] = asked.get(there.place, 0.0) + max(0, demand.weight_bytes - there.bytes)
        places[there.place] = there
    if not asked:
        yield Finding.ok("disk", "nothing has to be fetched")
    for place, needed in asked.items():
        yield _room(places[place], needed * needs.WEIGHTS_MARGIN)


def _room(there: Weights, needed: float) -> Finding:
    """Whether a cache takes so many bytes more."""
    mend = f"free some space, or set {ROOT_VARIABLE} to a folder on a larger disk"
    if there.limit_bytes is not None and there.limit_bytes < there.bytes + needed:
        found = f"the cache may take {size(there.limit_bytes)}, {size(needed)} have to be fetched"
        return Finding.error("disk", found, f"raise {LIMIT_VARIABLE}", there.place)
    if there.free_bytes is None:
        return unseen("disk", there.place, "it can't be read")
    found = f"{size(there.free_bytes)} are free, {size(needed)} have to be fetched"
    if there.free_bytes >= needed:
        return Finding.ok("disk", found, there.place)
    if there.free_bytes + there.droppable_bytes >= needed:
        found += f"; models of {size(there.droppable_bytes)} that are there may be dropped"
        return Finding.warning("disk", found, mend, there.place)
    return Finding.error("disk", found, mend, there.place)


def weights(case: Case, host: Host) -> Iterator[Finding]:
    """Weights in a folder are whole; others are, or can be fetched."""
    for demand in case.demands:
        there = host.weights.get(demand.name)
        if there is None:
            yield unseen("weights", demand.engine.source, "it was not looked for")
        elif not there.problem:
            found = f"{size(there.bytes)} in {there.place}"
            yield Finding.ok("weights", found, demand.name)
        elif not demand.fetched:
            mend = "give the folder that holds the model's files (--weights), and all of them"
            found = f"{there.place} is not whole: {there.problem}"
            yield Finding.error("weights", found, mend, demand.name)
        else:
            missing = max(0, demand.weight_bytes - there.bytes)
            found = f"{size(missing)} of {demand.source} will be fetched at the first start"
            yield Finding.info("weights", found, demand.name)


def ports(case: Case, host: Host) -> Iterator[Finding]:
    """Nobody listens on the ports of the stack."""
    if host.ports is None:
        yield unseen("ports", "listening sockets", "the system doesn't tell")
        return
    taken = {name: port for name, port in case.deployment.ports.items() if port in host.ports}
    for name, port in taken.items():
        who = host.ports[port] or "another process"
        mend = "end it, or choose other ports with --port-base N"
        yield Finding.error("ports", f"port {port} is taken by {who}", mend, name)
    if not taken:
        yield Finding.ok("ports", f"{len(case.deployment.ports)} ports are free")


def open_files(case: Case, host: Host) -> Iterator[Finding]:
    """A process may open enough files and sockets."""
    limit = host.open_files
    asked = needs.OPEN_FILES_GPU if case.on_gpus else needs.OPEN_FILES_CPU
    if limit is None:
        yield unseen("open-files", "the limit", "the system doesn't tell")
    elif 0 <= limit < asked:
        mend = f"raise it: `ulimit -Hn {asked}`, or LimitNOFILE of the service"
        yield Finding.warning("open-files", f"at most {limit} for each process", mend)
    else:
        yield Finding.ok("open-files", "unlimited" if limit < 0 else f"{limit} for each process")


def locked_memory(case: Case, host: Host) -> Iterator[Finding]:
    """RDMA may pin memory, where an engine spans nodes."""
    if not case.over_rdma or host.locked_bytes == -1:
        yield Finding.ok("locked-memory", "no limit is in the way")
    elif host.locked_bytes is None:
        yield unseen("locked-memory", "the limit", "the system doesn't tell")
    else:
        mend = "`ulimit -l unlimited`, LimitMEMLOCK=infinity, or the capability IPC_LOCK"
        found = f"{size(host.locked_bytes)} may be pinned, RDMA needs no limit"
        yield Finding.error("locked-memory", found, mend)


def versions(case: Case, host: Host) -> Iterator[Finding]:
    """The engine's packages are the set that belongs together."""
    well = True
    for name, wanted in needs.PACKAGES.items():
        there = host.packages.get(name)
        if there is None:
            well = False
            mend = "install the extras `serving` and `cpu` or `gpu` (make environment)"
            yield Finding.error("versions", "it is not installed", mend, name)
        elif there.partition("+")[0] != wanted:
            well = False
            mend = f"install {wanted}: Ray, torch and vLLM are one set"
            yield Finding.warning("versions", f"{there}, made for {wanted}", mend, name)
    if well:
        found = ", ".join(f"{name} {host.packages[name]}" for name in needs.PACKAGES)
        yield Finding.ok("versions", found)


def compiler(case: Case, host: Host) -> Iterator[Finding]:
    """There is a C++ compiler."""
    if host.compiler:
        yield Finding.ok("compiler", "there is one")
    else:
        found = "no C++ compiler, and the engine compiles kernels at its first start"
        yield Finding.error("compiler", found, "install one (for instance `apt-get install g++`)")


def processor(case: Case, host: Host) -> Iterator[Finding]:
    """Processors that engines run on have the vector instructions of their kernels."""
    if all(each.gpus for each in case.demands) or host.architecture not in X86:
        yield Finding.ok("processor", host.architecture or "unknown")
    elif host.cpu_flags is None:
        yield unseen("processor", "/proc/cpuinfo", "it can't be read")
    elif "avx2" not in host.cpu_flags:
        mend = "take a processor with AVX2 (since 2013), or GPUs"
        yield Finding.error("processor", "it has no AVX2, which the engine is built with", mend)
    elif "avx512f" not in host.cpu_flags:
        yield Finding.info("processor", "it has AVX2 but no AVX-512: slower kernels are used")
    else:
        yield Finding.ok("processor", "it has AVX-512")


def hub_token(case: Case, host: Host) -> Iterator[Finding]:
    """A token is there, where the hub gives weights only to who has accepted their terms."""
    gated = [each.name for each in case.demands if each.gated]
    if not gated:
        yield Finding.ok("hub-token", "no model needs one")
    for name in gated:
        if host.hub_token:
            yield Finding.ok("hub-token", "there is one", name)
        else:
            mend = "accept the terms on the model's page, then set HF_TOKEN or `hf auth login`"
            found = "its weights are gated and no token is here"
            yield Finding.error("hub-token", found, mend, name)


HOST_CHECKS: tuple[Check[Host], ...] = (
    Check("host-memory", "memory for loading, on processors for everything", host_memory),
    Check("shm", "shared memory holds what ranks hand over", shm),
    Check("disk", "the disk holds the weights that have to be fetched", disk),
    Check("weights", "weights in a folder are whole; others are, or will be fetched", weights),
    Check("hub-token", "a token for gated weights", hub_token),
    Check("ports", "nobody listens on the stack's ports", ports),
    Check("open-files", "a process may open enough files", open_files),
    Check("locked-memory", "RDMA may pin memory", locked_memory),
    Check("versions", "Ray, torch and vLLM are the set that belongs together", versions),
    Check("compiler", "a C++ compiler for the engine's kernels", compiler),
    Check("processor", "vector instructions of the engine's kernels", processor),
)
