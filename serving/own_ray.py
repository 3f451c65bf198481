"""A Ray cluster of this machine alone: what all of its processes read, and who is let in."""

import os
import secrets
from pathlib import Path

# Ray schedules by declared CPUs. The engines share the machine's cores anyway, so more is declared
# than anything asks for: nobody waits for a slot that exists only on paper.
DECLARED_CPUS = 64


def write_token(folder: Path) -> None:
    """Make a fresh token that only its owner can read, for the cluster of this folder."""
    handle = os.open(_token_file(folder), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(32))


def environment(folder: Path, *, host: str = "127.0.0.1") -> dict[str, str]:
    """Return the variables of a cluster that keeps its files in `folder` and listens on `host`.

    Ray reads most of them when it is imported, in every process: they must be set before.
    """
    return {
        "RAY_TMPDIR": str(folder),
        # Who reaches Ray's ports may run any code as this user, so only this cluster's own
        # processes are let in. The file in the user's home that Ray would take belongs to others.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(_token_file(folder)),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's name for "no other machine will join": then it keeps 127.0.0.1, which it would
        # otherwise replace by the address of the network card, and listens on loopback.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_DEDUP_LOGS": "0",
        # Ray runs its workers at niceness 15: right for batch work beside a desktop, but here
        # the engines are what everybody waits for.
        "RAY_worker_niceness": "0",
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        # An actor that is killed takes its engine core and workers with it.
        "RAY_process_group_cleanup_enabled": "1",
        # On a busy machine a process takes long to come up; Ray's own limits of 10 to 60
        # seconds would end a head that only had to wait for a processor.
        "RAY_agent_register_timeout_ms": "300000",
        "RAY_raylet_start_wait_time_s": "300",
        "RAY_worker_register_timeout_seconds": "600",
        "RAY_gcs_server_request_timeout_seconds": "300",
        "VLLM_HOST_IP": host,
        "GLOO_SOCKET_IFNAME": "lo",
        "TOKENIZERS_PARALLELISM": "false",
    }


def apply(variables: dict[str, str]) -> None:
    """Set the variables in this process, before Ray is imported here; children inherit them."""
    os.environ.update(variables)
    # An address of some other cluster would win over this one's.
    os.environ.pop("RAY_ADDRESS", None)


def _token_file(folder: Path) -> Path:
    return folder / "ray.token"
