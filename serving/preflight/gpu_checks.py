"""Checks of a machine's GPUs and of what joins them. Pure."""

from collections.abc import Callable, Iterable, Iterator

from serving.preflight import needs
from serving.preflight.check import Case, Check, listed, size
from serving.preflight.finding import Finding
from serving.preflight.host_facts import Host, HostGpu
from serving.preflight.nccl import engine_setting_findings, nccl_findings
from serving.preflight.products import chip_of, is_chip

Look = Callable[[Case, Host], Iterable[Finding]]
NO_GPUS = "install the vendor's driver, or plan for processors (--hardware cpu)"


def gpu_count(case: Case, host: Host) -> Iterator[Finding]:
    """There are as many GPUs as the engines of this machine need."""
    asked = sum(each.gpus * each.replicas for each in case.demands)
    if not asked:
        yield Finding.ok("gpu-count", "no model needs a GPU")
    elif host.gpus is None:
        yield Finding.error("gpu-count", host.gpu_problem or "no GPU was found", NO_GPUS)
    elif len(host.gpus) < asked:
        found = f"{len(host.gpus)} GPUs, but {asked} are needed"
        mend = "take a smaller machine shape or fewer replicas, or a machine with more GPUs"
        yield Finding.error("gpu-count", found, mend)
    else:
        yield Finding.ok("gpu-count", f"{len(host.gpus)} GPUs, {asked} needed")


def gpu_product(case: Case, host: Host) -> Iterator[Finding]:
    """They are the GPUs that the plan was made for."""
    well = True
    names = {gpu.name for gpu in host.gpus or ()}
    for demand in case.on_gpus:
        chip = demand.chip
        strange = [name for name in names if chip and chip_of(name) and not is_chip(name, chip)]
        if strange and demand.machine.gpu is not None:
            well = False
            found = f"the machine has {listed(strange)}, but it means {demand.machine.gpu.name}"
            mend = "give the machine shape of these GPUs (--hardware)"
            yield Finding.error("gpu-product", found, mend, demand.name)
    if well:
        yield Finding.ok("gpu-product", listed(names))


def gpu_memory(case: Case, host: Host) -> Iterator[Finding]:
    """As many as are needed have the memory of the plan, and nobody else has taken it."""
    asked = sum(each.gpus * each.replicas for each in case.on_gpus)
    short = {gpu: why for gpu in host.gpus or () if (why := _memory_problem(gpu, case))}
    usable = len(host.gpus or ()) - len(short)
    for gpu, (found, mend) in short.items():
        if usable < asked:
            yield Finding.error("gpu-memory", found, mend, _name(gpu))
        else:
            yield Finding.info("gpu-memory", f"{found}; other GPUs suffice", _name(gpu))
    if not short:
        yield Finding.ok("gpu-memory", f"{usable} GPUs have what the plan takes")


def _memory_problem(gpu: HostGpu, case: Case) -> tuple[str, str] | None:
    """Why a GPU has too little memory for a model, and the mend."""
    for demand in case.on_gpus:
        planned = demand.machine.memory_bytes * needs.GPU_MEMORY_TOLERANCE
        share = float(demand.engine.kwargs.get("gpu_memory_utilization", 1.0))
        if gpu.memory_bytes < planned:
            found = f"{size(gpu.memory_bytes)}, {demand.machine.id} means {size(planned)}"
            return found, "give the machine shape of this GPU (--hardware)"
        if gpu.free_bytes < gpu.memory_bytes * share:
            wanted = size(gpu.memory_bytes * share)
            found = f"{size(gpu.free_bytes)} are free, {demand.name} takes {wanted}"
            return found, "end the processes that hold it, or lower gpu_memory_utilization"
    return None


def gpu_sliced(case: Case, host: Host) -> Iterator[Finding]:
    """They are whole."""
    sliced = [_name(gpu) for gpu in host.gpus or () if gpu.sliced]
    if sliced:
        mend = "turn MIG off (`nvidia-smi -mig 0`) and reset the GPU"
        yield Finding.error("gpu-sliced", "MIG is on", mend, listed(sliced))
    else:
        yield Finding.ok("gpu-sliced", "no GPU is sliced")


def gpu_health(case: Case, host: Host) -> Iterator[Finding]:
    """Their memory has no errors that could not be corrected."""
    ill = [_name(gpu) for gpu in host.gpus or () if gpu.uncorrected_errors]
    if ill:
        found = "memory errors that could not be corrected"
        mend = "reset the GPU; if they come back, have it replaced"
        yield Finding.error("gpu-health", found, mend, listed(ill))
    else:
        yield Finding.ok("gpu-health", "no uncorrected memory errors")


def driver(case: Case, host: Host) -> Iterator[Finding]:
    """The driver is new enough for the engine's CUDA."""
    if host.driver is None:
        yield Finding.ok("driver", "these GPUs need no driver of NVIDIA's")
        return
    major = host.driver.partition(".")[0]
    if not major.isdecimal():
        found = f"its version `{host.driver}` can't be read"
        yield Finding.warning("driver", found, f"check that it is {needs.LEAST_NVIDIA_DRIVER}+")
    elif int(major) < needs.LEAST_NVIDIA_DRIVER:
        found = f"driver {host.driver}, the engine's CUDA needs {needs.LEAST_NVIDIA_DRIVER}"
        mend = f"install a driver of branch {needs.LEAST_NVIDIA_DRIVER} or later"
        yield Finding.error("driver", found, mend)
    else:
        yield Finding.ok("driver", f"driver {host.driver}")


def interconnect(case: Case, host: Host) -> Iterator[Finding]:
    """GPUs reach each other by NVLink, and nodes by RDMA, where the machine shape says so."""
    well = True
    for demand in case.on_gpus:
        inner = demand.machine.link_within_node_gb_s
        if demand.ranks > 1 and inner is not None and inner.value >= needs.NVLINK_GB_S:
            for finding in _nvlink(host):
                well = False
                yield finding
        if demand.rdma and not any(each.active for each in host.rdma):
            well = False
            there = listed(each.name for each in host.rdma)
            found = f"RDMA devices are there but down: {there}" if there else "no RDMA device"
            mend = "bring the link up, or describe a shape with the links that are there"
            yield Finding.error("interconnect", found, mend, demand.name)
    if well:
        yield Finding.ok("interconnect", "links are as the machine shape says, or none is needed")


def _nvlink(host: Host) -> Iterator[Finding]:
    down = [_name(gpu) for gpu in host.gpus or () if gpu.links == 0]
    if down:
        mend = "look at `nvidia-smi nvlink --status`, or take a shape without NVLink"
        yield Finding.warning("interconnect", "no NVLink is up", mend, listed(down))
    loose = [_name(gpu) for gpu in host.gpus or () if gpu.fabric_ready is False]
    if loose:
        mend = "start the fabric manager of the driver's version (nvidia-fabricmanager)"
        found = "the NVSwitch fabric is not joined, so that CUDA doesn't start"
        yield Finding.error("interconnect", found, mend, listed(loose))


def nccl(case: Case, host: Host) -> Iterator[Finding]:
    """No setting keeps ranks from each other."""
    found = list(
        nccl_findings(
            {**host.environment, **case.deployment.environment},
            ranks=max((each.ranks for each in case.on_gpus), default=0),
            several_nodes=bool(case.several_nodes),
            rdma=bool(case.over_rdma),
            interfaces=host.interfaces,
            devices=[each.name for each in host.rdma],
        )
    )
    yield from found or [Finding.ok("nccl", "no setting is in the way")]


def engine_settings(case: Case, host: Host) -> Iterator[Finding]:
    """No setting of the engine does harm, or nothing."""
    environment = {**host.environment, **case.deployment.environment}
    found = list(engine_setting_findings(environment))
    yield from found or [Finding.ok("engine-settings", "none does harm")]


def of_gpus(check: str, looks_at: str, run: Look) -> Check[Host]:
    """A check that has something to look at only where GPUs are needed and seen."""

    def look(case: Case, host: Host) -> Iterable[Finding]:
        if not case.on_gpus:
            return [Finding.ok(check, "no model needs a GPU")]
        if not host.gpus:
            return [Finding.info(check, "not looked at: no GPU was found")]
        return run(case, host)

    return Check(check, looks_at, look)


def _name(gpu: HostGpu) -> str:
    return f"GPU {gpu.index}"


GPU_CHECKS: tuple[Check[Host], ...] = (
    Check("gpu-count", "there are as many GPUs as the engines need", gpu_count),
    of_gpus("gpu-product", "they are those that the plan was made for", gpu_product),
    of_gpus("gpu-memory", "each has the plan's memory, and it is free", gpu_memory),
    of_gpus("gpu-sliced", "they are whole: no MIG", gpu_sliced),
    of_gpus("gpu-health", "no memory errors that could not be corrected", gpu_health),
    of_gpus("driver", "the driver is new enough for the engine's CUDA", driver),
    Check("interconnect", "NVLink, its fabric and RDMA are up", interconnect),
    Check("nccl", "no setting of NCCL or Gloo is in the way", nccl),
    Check("engine-settings", "no setting of the engine does harm", engine_settings),
)
