"""The Serve configuration (serveConfigV2) of a local plane's applications."""

from typing import Any

from serving.local.config import Application, LocalPlane

# Each engine looks for its torch.distributed ports in its own slice of the range.
ENGINE_PORTS_EACH = 8


def serve_config(
    plane: LocalPlane, import_path: str = "serving.app:build", only: str | None = None
) -> dict[str, Any]:
    """Return what `ServeDeploySchema` takes: HTTP and one application a model."""
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": plane.http_host, "port": plane.ports.serve},
        "logging_config": {"enable_access_log": False},
        "applications": [
            _application(plane, application, index, import_path)
            for index, application in enumerate(plane.applications)
            if only is None or application.model == only
        ],
    }


def _application(
    plane: LocalPlane, application: Application, index: int, import_path: str
) -> dict[str, Any]:
    first = plane.ports.engine.first + index * ENGINE_PORTS_EACH
    return {
        "name": application.model,
        "route_prefix": f"/{application.model}",
        "import_path": import_path,
        "runtime_env": {"env_vars": {"VLLM_PORT": str(first)}},
        "args": {"model": application.model, **application.arguments},
    }
