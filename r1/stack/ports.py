"""The port plan of one local stack: pure arithmetic from one number.

The default stack uses the documented ports (API 8080, Serve 8000, replicas 30000-31000). Any other
base N moves everything into N to N + 499, so two stacks whose bases differ by 500 or more never
meet. 6379 is in neither plan: Ray's control store and Redis both claim it by default, and a Redis
that somebody already runs there must stay theirs.
"""

from dataclasses import asdict, dataclass

DEFAULT_BASE = 8080
BLOCK = 500
LOWEST_BASE = 1024
HIGHEST_BASE = 65535 - BLOCK

# Where the default stack's inner ports begin: after the replicas' range, below Linux's
# ephemeral range (32768), from which outgoing connections take theirs.
DEFAULT_INNER_BASE = 31100


@dataclass(frozen=True)
class PortRange:
    """A range of TCP ports, both ends included."""

    first: int
    last: int

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last


@dataclass(frozen=True)
class PortPlan:
    """Every TCP port a stack listens on."""

    base: int
    api: int
    admin: int
    telemetry: int
    serve: int
    store: int
    ray_gcs: int
    ray_object_manager: int
    ray_node_manager: int
    ray_client: int
    ray_dashboard: int
    ray_agent_http: int
    ray_agent_grpc: int
    ray_runtime_env: int
    ray_metrics: int
    haproxy_metrics: int
    haproxy_stats: int
    serve_fallback: int
    engine: PortRange
    replicas: PortRange
    ray_workers: PortRange

    def single_ports(self) -> dict[str, int]:
        """Return the ports that must be free before a start, by name."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name != "base" and isinstance(value, int)
        }


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
        engine=PortRange(inner + 20, inner + 99),
        replicas=PortRange(30000, 31000) if default else PortRange(base + 100, base + 199),
        ray_workers=PortRange(inner + 200, inner + 499),
    )
