"""Checks of a cluster's nodes: the barriers, the right GPUs, and room for every pod. Pure."""

from collections.abc import Iterator

from serving.preflight import needs
from serving.preflight.check import Case, Check, listed, unseen
from serving.preflight.cluster_facts import Cluster, Node
from serving.preflight.demand import Demand
from serving.preflight.finding import Finding
from serving.preflight.products import is_chip
from serving.preflight.survey import BARRIER_CHECKS, homeless, may_serve, view


def gpu_product(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """Some node has the GPUs that the plan was made for."""
    if cluster.nodes is None:
        yield _unseen("gpu-product", cluster)
        return
    if not case.on_gpus:
        yield Finding.ok("gpu-product", "no model needs a GPU")
    for demand in case.on_gpus:
        there = [node.name for node in cluster.nodes if may_serve(node, demand)]
        gpu = demand.machine.gpu.name if demand.machine.gpu is not None else ""
        if there:
            yield Finding.ok("gpu-product", f"{len(there)} nodes have {gpu}", demand.name)
            continue
        products = {node.product for node in cluster.nodes if node.product}
        found = f"the cluster has {listed(products)}" if products else "no node has a GPU"
        mend = (
            "add nodes with these GPUs, or plan for those that are there (--hardware)"
            if products
            else "add nodes with GPUs; if they are there, install the vendor's GPU operator"
        )
        yield Finding.error("gpu-product", f"{found}, but it needs {gpu}", mend, demand.name)


def pool_mixed(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """A node pool holds one product: its autoscaler adds any of them."""
    if cluster.nodes is None:
        yield _unseen("pool-mixed", cluster)
        return
    mixed = dict(_mixed_pools(cluster.nodes))
    chips = {demand.chip for demand in case.on_gpus}
    well = True
    for pool, products in mixed.items():
        if any(is_chip(product, chip) for product in products for chip in chips if chip):
            well = False
            found = f"holds nodes with {listed(products)}"
            mend = "make one pool a product, so that scaling adds the GPUs of the plan"
            yield Finding.warning("pool-mixed", found, mend, f"pool {pool}")
    if well:
        yield Finding.ok("pool-mixed", "no node pool mixes these GPUs with others")


def _mixed_pools(nodes: tuple[Node, ...]) -> Iterator[tuple[str, set[str]]]:
    pools: dict[str, set[str]] = {}
    for node in nodes:
        pool = next((node.labels[each] for each in needs.POOL_LABELS if each in node.labels), None)
        if pool is not None and node.product is not None:
            pools.setdefault(pool, set()).add(node.product)
    return ((pool, products) for pool, products in pools.items() if len(products) > 1)


def placement(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """Every pod of the first replicas finds a node with what it needs still free."""
    if cluster.nodes is None:
        yield _unseen("placement", cluster)
        return
    short = homeless(case, cluster.nodes)
    bare = homeless(case, cluster.nodes, empty=True)
    for demand in case.demands:
        pods = demand.replicas * demand.pods
        missing = short[demand.name]
        if not missing:
            yield Finding.ok("placement", f"{pods} pods find a node", demand.name)
            continue
        found = f"{missing} of {pods} pods find no node{_why(demand, case, cluster)}"
        held = bare[demand.name] < missing
        mend = (
            "other pods hold what is needed: end them, or add nodes"
            if held
            else "mend the nodes that other findings name, add nodes, or lower replicas"
        )
        yield Finding.error("placement", found, mend, demand.name)


def _why(demand: Demand, case: Case, cluster: Cluster) -> str:
    """Why the nodes that fit are not enough."""
    fit = view(demand, case, cluster.nodes or ()).fit
    if not fit:
        return ": none fits"
    what = f": nodes that fit: {len(fit)}"
    if not demand.gpus:
        return what
    free, of = sum(node.free_gpus for node in fit), sum(node.gpus for node in fit)
    return f"{what}, with {free} of {of} GPUs free; each pod needs {demand.gpus}"


def scale_room(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """The autoscaler's upper bound finds room too."""
    if cluster.nodes is None:
        yield _unseen("scale-room", cluster)
        return
    growing = [each for each in case.demands if each.most_replicas > each.replicas]
    if not growing:
        yield Finding.ok("scale-room", "no model scales beyond its first replicas")
        return
    start, most = homeless(case, cluster.nodes), homeless(case, cluster.nodes, most=True)
    for demand in growing:
        missing = most[demand.name] - start[demand.name]
        if missing <= 0:
            found = f"{demand.most_replicas} replicas find nodes"
            yield Finding.ok("scale-room", found, demand.name)
            continue
        short = f"{most[demand.name]} of {demand.most_replicas * demand.pods} pods find no node"
        found = f"at {demand.most_replicas} replicas, {short}"
        mend = "let the cluster's autoscaler add such nodes, or lower max_replicas"
        yield Finding.warning("scale-room", found, mend, demand.name)


def free_room_known(case: Case, cluster: Cluster) -> Iterator[Finding]:
    """What other pods hold is known."""
    if cluster.pods_seen:
        yield Finding.ok("pods-seen", "what other pods hold was taken off what nodes offer")
        return
    why = cluster.refusals.get("pods", "unknown")
    yield unseen("pods-seen", "pods of other namespaces", f"{why}; all of a node counts as free")


def _unseen(check: str, cluster: Cluster) -> Finding:
    return unseen(check, "nodes", cluster.refusals.get("nodes", "unknown"))


NODE_CHECKS: tuple[Check[Cluster], ...] = (
    Check("gpu-product", "nodes have the GPUs that the plan was made for", gpu_product),
    *BARRIER_CHECKS,
    Check("pool-mixed", "a node pool holds one GPU product", pool_mixed),
    Check("pods-seen", "what other pods hold can be counted", free_room_known),
    Check("placement", "every pod of the first replicas finds a node", placement),
    Check("scale-room", "so do those of the autoscaler's upper bound", scale_room),
)
