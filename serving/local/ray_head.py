"""The Ray head of a local model plane: its environment and its command line."""

import os
import sys

from serving.local.config import LocalPlane

# Ray schedules by declared CPUs. The engines share the machine's cores anyway, so the head
# declares more than any local stack asks for: no model waits for a slot that exists only on paper.
DECLARED_CPUS = 64


def ray_environment(plane: LocalPlane) -> dict[str, str]:
    """Return the variables that Ray, Ray Serve and the engines read, for this plane's ports.

    Ray reads most of them when it is imported, in every process: they must be set before.
    """
    ports = plane.ports
    haproxy = plane.temp_dir / "haproxy"
    return {
        "RAY_TMPDIR": str(plane.temp_dir),
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
        # A replica that is killed takes its engine core and workers with it.
        "RAY_process_group_cleanup_enabled": "1",
        # On a busy machine a process takes long to come up; Ray's own limits of 10 to 60
        # seconds would end a head that only had to wait for a processor.
        "RAY_agent_register_timeout_ms": "300000",
        "RAY_raylet_start_wait_time_s": "300",
        "RAY_worker_register_timeout_seconds": "600",
        "RAY_gcs_server_request_timeout_seconds": "300",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "120",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1",
        "RAY_SERVE_LLM_ROUTER_HTTP_TIMEOUT": str(plane.longest_answer_s),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas.first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas.last),
        # The gateway has drained before this plane is asked to stop.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.serve_fallback),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(int(plane.longest_answer_s) + 60),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_HOST_IP": plane.host,
        "GLOO_SOCKET_IFNAME": "lo",
        "TOKENIZERS_PARALLELISM": "false",
    }


def head_command(plane: LocalPlane) -> list[str]:
    """Return the command that runs the head in the foreground until one of its parts dies."""
    ports = plane.ports
    return [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        f"--node-ip-address={plane.host}",
        f"--port={ports.ray_gcs}",
        f"--object-manager-port={ports.ray_object_manager}",
        f"--node-manager-port={ports.ray_node_manager}",
        f"--ray-client-server-port={ports.ray_client}",
        f"--dashboard-port={ports.ray_dashboard}",
        f"--dashboard-agent-listen-port={ports.ray_agent_http}",
        f"--dashboard-agent-grpc-port={ports.ray_agent_grpc}",
        f"--runtime-env-agent-port={ports.ray_runtime_env}",
        f"--metrics-export-port={ports.ray_metrics}",
        f"--min-worker-port={ports.ray_workers.first}",
        f"--max-worker-port={ports.ray_workers.last}",
        "--include-dashboard=false",
        "--disable-usage-stats",
        f"--num-cpus={DECLARED_CPUS}",
        "--num-gpus=0",
        f"--object-store-memory={plane.ray_object_store_bytes}",
        f"--temp-dir={plane.temp_dir}",
        "--log-style=record",
        "--log-color=false",
    ]


def apply_environment(variables: dict[str, str]) -> None:
    """Set the variables in this process, before Ray is imported here; children inherit them."""
    os.environ.update(variables)
    # An address of some other cluster would win over the one given to ray.init.
    os.environ.pop("RAY_ADDRESS", None)
