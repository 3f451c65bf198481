"""The port plan of one local stack: pure arithmetic from one number.

The default stack uses the documented ports (API 8080, Serve 8000, replicas 30000-31000). Any other
base N moves everything into N to N + 499, so two stacks whose bases differ by 500 or more never
meet. 6379 is in neither plan: Ray's control store and Redis both claim it by default, and a Redis
that somebody already runs there must stay theirs.
"""

from serving.local.config import Ports, Range

DEFAULT_BASE = 8080
BLOCK = 500
LOWEST_BASE = 1024
HIGHEST_BASE = 65535 - BLOCK

# Where the default stack's inner ports begin: after the replicas' range, below Linux's
# ephemeral range (32768), from which outgoing connections take theirs.
DEFAULT_INNER_BASE = 31100


class PortPlan(Ports):
    """Every TCP port a stack listens on: those of its model plane, and these."""

    base: int
    api: int
    admin: int
    store: int

    def single_ports(self) -> dict[str, int]:
        """Return the ports that must be free before a start, by name."""
        return {name: value for name, value in self if name != "base" and isinstance(value, int)}


def plan_ports(base: int = DEFAULT_BASE) -> PortPlan:
    """Return the plan of a base.

    Raises:
        ValueError: the base leaves no room for its block of ports.
    """
    if not LOWEST_BASE <= base <= HIGHEST_BASE:
        raise ValueError(
            f"--port-base must be between {LOWEST_BASE} and {HIGHEST_BASE}, because a stack "
            f"takes {BLOCK} ports from it on; got {base}"
        )
    default = base == DEFAULT_BASE
    inner = DEFAULT_INNER_BASE if default else base
    return PortPlan(
        base=base,
        api=base,
        admin=base + 1,
        telemetry=base + 2,
        serve=8000 if default else base + 3,
        store=inner + 4,
        ray_gcs=inner + 5,
        ray_object_manager=inner + 6,
        ray_node_manager=inner + 7,
        ray_client=inner + 8,
        ray_dashboard=inner + 9,
        ray_agent_http=inner + 10,
        ray_agent_grpc=inner + 11,
        ray_runtime_env=inner + 12,
        ray_metrics=inner + 13,
        haproxy_metrics=inner + 14,
        haproxy_stats=inner + 15,
        serve_fallback=inner + 16,
        engine=Range(first=inner + 20, last=inner + 99),
        replicas=Range(first=30000, last=31000)
        if default
        else Range(first=base + 100, last=base + 199),
        ray_workers=Range(first=inner + 200, last=inner + 499),
    )
