"""Which nodes a deployment can use: the barriers on each node, and where its pods then go. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from serving.preflight.barriers import BARRIERS, Barrier, Obstacle
from serving.preflight.check import Case, Check, listed, unseen
from serving.preflight.cluster_facts import Cluster, Node
from serving.preflight.demand import Demand
from serving.preflight.finding import Finding
from serving.preflight.placement import Pod, Room, place
from serving.preflight.products import is_chip


@dataclass(frozen=True, slots=True)
class Seen:
    """One barrier's view of one node for one model."""

    barrier: str
    node: str
    obstacle: Obstacle


@dataclass(frozen=True, slots=True)
class View:
    """The nodes of the right kind for one model."""

    demand: Demand
    candidates: tuple[Node, ...]
    seen: tuple[Seen, ...]

    @property
    def fit(self) -> tuple[Node, ...]:
        """Candidates without anything that blocks."""
        blocked = {each.node for each in self.seen if each.obstacle.blocks}
        return tuple(node for node in self.candidates if node.name not in blocked)


def view(demand: Demand, case: Case, nodes: tuple[Node, ...]) -> View:
    """Look at every node that has the model's GPUs, or at every node where it needs none."""
    candidates = tuple(node for node in nodes if may_serve(node, demand))
    seen = tuple(
        Seen(barrier.id, node.name, obstacle)
        for node in candidates
        for barrier in BARRIERS
        if (obstacle := barrier.look(node, demand, case.deployment)) is not None
    )
    return View(demand, candidates, seen)


def may_serve(node: Node, demand: Demand) -> bool:
    """Whether a node has the GPUs of a demand by name, or GPUs of which nothing is known."""
    if not demand.gpus:
        return True
    if node.product is None or demand.chip is None:
        return node.has_gpu_hardware or node.gpus > 0
    return is_chip(node.product, demand.chip)


def homeless(
    case: Case, nodes: tuple[Node, ...], *, most: bool = False, empty: bool = False
) -> dict[str, int]:
    """How many pods of each model find no node.

    Args:
        case: what is asked for.
        nodes: all nodes.
        most: place the autoscaler's upper bound instead of the first replicas.
        empty: count what other pods have as free.
    """
    pods = []
    for demand in case.demands:
        names = frozenset(node.name for node in view(demand, case, nodes).fit)
        room = Room(demand.gpus, float(demand.memory_bytes), float(demand.cpus))
        replicas = demand.most_replicas if most else demand.replicas
        pods += [Pod(demand.name, room, names)] * (replicas * demand.pods)
    free = {node.name: _all(node) if empty else _free(node) for node in nodes}
    found = dict.fromkeys((demand.name for demand in case.demands), 0)
    for pod in place(pods, free)[1]:
        found[pod.owner] += 1
    return found


def _all(node: Node) -> Room:
    has = node.allocatable
    return Room(node.gpus, has.get("memory", 0.0), has.get("cpu", 0.0))


def _free(node: Node) -> Room:
    return Room(node.free_gpus, node.free("memory"), node.free("cpu"))


def barrier_check(barrier: Barrier) -> Check[Cluster]:
    """The check of one barrier over all nodes."""

    def run(case: Case, cluster: Cluster) -> Iterator[Finding]:
        if cluster.nodes is None:
            yield unseen(barrier.id, "nodes", cluster.refusals.get("nodes", "unknown"))
            return
        short = homeless(case, cluster.nodes)
        looked = 0
        well = True
        for demand in case.demands:
            found = view(demand, case, cluster.nodes)
            looked += len(found.candidates)
            for finding in _findings(barrier, found, wanted=short[demand.name] > 0):
                well = False
                yield finding
        if well:
            yield Finding.ok(barrier.id, f"{barrier.looks_at} ({looked} looked at)")

    return Check(barrier.id, barrier.looks_at, run)


def _findings(barrier: Barrier, found: View, *, wanted: bool) -> Iterator[Finding]:
    """A finding for each sentence, with all the nodes it holds for."""
    by_obstacle: dict[Obstacle, list[str]] = {}
    for each in found.seen:
        if each.barrier == barrier.id:
            by_obstacle.setdefault(each.obstacle, []).append(each.node)
    fit = {node.name for node in found.fit}
    for obstacle, names in by_obstacle.items():
        subject = listed(names)
        if obstacle.blocks and wanted:
            yield Finding.error(barrier.id, obstacle.found, barrier.mend, subject)
        elif obstacle.blocks:
            yield Finding.info(barrier.id, f"{obstacle.found}; other nodes suffice", subject)
        elif fit & set(names):
            yield Finding.warning(barrier.id, obstacle.found, barrier.mend, subject)


BARRIER_CHECKS = tuple(barrier_check(each) for each in BARRIERS)
