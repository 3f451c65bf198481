"""Runs all checks of a target against a deployment."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from serving.preflight.check import Case, Check, Facts, size
from serving.preflight.cluster_checks import CLUSTER_CHECKS
from serving.preflight.cluster_facts import Cluster
from serving.preflight.demand import Demand, demands
from serving.preflight.deployment import Deployment
from serving.preflight.finding import Finding, Report
from serving.preflight.gpu_checks import GPU_CHECKS
from serving.preflight.host_checks import HOST_CHECKS
from serving.preflight.host_facts import Host
from serving.preflight.namespace_checks import NAMESPACE_CHECKS
from serving.preflight.node_checks import NODE_CHECKS


def fits(case: Case, facts: object) -> Iterator[Finding]:
    """Each model can run on its machine shape at all; those that can't are refused before."""
    for each in case.demands:
        found = f"profile {each.engine.profile.name} on {each.machine.id}, {_amounts(each)}"
        yield Finding.ok("fits", found, each.name)


def _amounts(demand: Demand) -> str:
    what = f"{demand.gpus} GPUs" if demand.gpus else f"{demand.cpus} cores"
    memory, weights = size(demand.memory_bytes), size(demand.weight_bytes)
    pods = f"{demand.replicas} × {demand.pods} pods of {what} and {memory} of host memory"
    return f"{pods}, {weights} of weights"


def licence(case: Case, facts: object) -> Iterator[Finding]:
    """Terms that come from a base model have been accepted by somebody."""
    for each in case.demands:
        terms, base = each.model.licence, each.model.licence.base
        accepted = {name.lower() for name in case.deployment.accepted_licences}
        if base is None or base.terms is None or base.licence.lower() in accepted:
            extra = f", {base.licence}" if base is not None else ""
            yield Finding.ok("licence", f"{terms.id}{extra}", each.name)
        else:
            found = f"{base.model}, which it was trained from, is under the {base.licence}"
            mend = f'read {base.terms}, then --accept-licence "{base.licence}"'
            yield Finding.warning("licence", found, mend, each.name)


SHARED_CHECKS: tuple[Check[object], ...] = (
    Check("fits", "each model can run on its machine shape with its arguments", fits),
    Check("licence", "terms of a base model have been accepted", licence),
)
MACHINE_CHECKS: tuple[Check[Host], ...] = (*GPU_CHECKS, *HOST_CHECKS)
ALL_CLUSTER_CHECKS: tuple[Check[Cluster], ...] = (
    *CLUSTER_CHECKS,
    *NODE_CHECKS,
    *NAMESPACE_CHECKS,
)


def examine_machine(
    deployment: Deployment, name: str, look: Callable[[Sequence[Demand]], Host]
) -> Report:
    """Compare a machine with a deployment.

    Args:
        deployment: what is to be started.
        name: the machine's.
        look: gathers its facts.

    Raises:
        ServingError: the deployment names something that is not known.
    """
    asked, wrong = demands(deployment)
    case = Case(deployment, asked)
    found = [*wrong, *_run(SHARED_CHECKS, case, None)]
    return Report.of("machine", name, [*found, *_run(MACHINE_CHECKS, case, look(asked))])


def examine_cluster(
    deployment: Deployment, name: str, look: Callable[[Sequence[Demand]], Cluster]
) -> Report:
    """Compare a cluster with a deployment; arguments and errors as in `examine_machine`."""
    asked, wrong = demands(deployment)
    case = Case(deployment, asked)
    found = [*wrong, *_run(SHARED_CHECKS, case, None)]
    return Report.of("cluster", name, [*found, *_run(ALL_CLUSTER_CHECKS, case, look(asked))])


def _run(checks: Sequence[Check[Facts]], case: Case, facts: Facts) -> Iterator[Finding]:
    for check in checks:
        yield from check.run(case, facts)


def known_checks() -> Mapping[str, tuple[str, str]]:
    """What each check looks at on a machine and on a cluster, by id; empty where it is not run."""
    machine = {**_looks_at(SHARED_CHECKS), **_looks_at(MACHINE_CHECKS)}
    cluster = {**_looks_at(SHARED_CHECKS), **_looks_at(ALL_CLUSTER_CHECKS)}
    return {each: (machine.get(each, ""), cluster.get(each, "")) for each in {**machine, **cluster}}


def _looks_at(checks: Sequence[Check[Facts]]) -> dict[str, str]:
    return {each.id: each.looks_at for each in checks}
