"""What Ray Serve knows of the replica that this process is: its address, and whether it leaves.

Serve tells its user's code neither. Both lie in the actor around it, in this same process.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Standing:
    """A replica whose HTTP server listens. `url` has its application's route prefix."""

    url: str
    leaving: bool
    """It finishes what it has; HAProxy sends it nothing more."""


def standing() -> Standing | None:
    """How this process's replica stands, or None while its HTTP server isn't up."""
    import ray
    from ray._private.worker import global_worker

    (actor,) = global_worker.actors.values()
    return _read(actor._replica_impl, ray.util.get_node_ip_address())


def _read(replica: Any, address: str) -> Standing | None:
    port = replica._http_port
    if port is None:
        return None
    host = f"[{address}]" if ":" in address else address
    prefix = (replica._route_prefix or "").rstrip("/")
    return Standing(f"http://{host}:{port}{prefix}", replica._shutting_down)
