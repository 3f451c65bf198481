"""The Ray head of a local model plane: its environment and its command line."""

import sys

from serving.engine.scaling import lifetime_environment
from serving.local.config import LocalPlane
from serving.own_ray import DECLARED_CPUS, environment
from serving.telemetry.notes import FOLDER_VARIABLE
from serving.weights.source import OFFLINE


def ray_environment(plane: LocalPlane) -> dict[str, str]:
    """Return the variables that Ray, Ray Serve and the engines read, for this plane's ports."""
    ports = plane.ports
    haproxy = plane.temp_dir / "haproxy"
    return {
        **environment(plane.temp_dir, host=plane.host),
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "120",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1",
        **lifetime_environment(plane.longest_answer_s),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas.first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas.last),
        # The gateway has drained before this plane is asked to stop.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.serve_fallback),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        **OFFLINE,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        FOLDER_VARIABLE: str(plane.notes),
        "VLLM_NO_USAGE_STATS": "1",
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
        f"--num-gpus={plane.gpus}",
        f"--object-store-memory={plane.ray_object_store_bytes}",
        f"--temp-dir={plane.temp_dir}",
        "--log-style=record",
        "--log-color=false",
    ]
