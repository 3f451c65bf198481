"""Hands a running local plane other arguments for its models, as a new serveConfigV2 does.

python -m tests.integration.replicas.redeploy plane.json '{"surge_percent": 100}'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from serving import own_ray
from serving.local.config import LocalPlane
from serving.local.ray_head import ray_environment
from serving.local.serve_config import serve_config


def main() -> int:
    """Deploy, and return while Ray Serve does the rest."""
    path, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
    config = json.loads(path.read_text())
    for application in config["applications"]:
        application["arguments"] |= changes
        application["arguments"] = {
            name: value for name, value in application["arguments"].items() if value is not None
        }
    plane = LocalPlane.model_validate(config)
    own_ray.apply(ray_environment(plane))
    # Ray reads its environment when it is imported.
    import ray
    from ray import serve
    from ray.serve.schema import ServeDeploySchema

    ray.init(
        address=f"{plane.host}:{plane.ports.ray_gcs}",
        namespace="serve",
        _node_ip_address=plane.host,
    )
    serve.context._get_global_client().deploy_apps(
        ServeDeploySchema.model_validate(serve_config(plane))
    )
    ray.shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
