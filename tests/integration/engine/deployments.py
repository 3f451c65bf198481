"""Builds the Serve application of each deployment on standard input, as Ray Serve would.

Ray is asked in a process of its own: it changes the environment and warns while it is imported.
"""

import json
import sys
from typing import Any

from ray.serve.schema import ServeDeploySchema

from serving.app import build


def options(arguments: dict[str, Any]) -> dict[str, Any]:
    """What Ray Serve would deploy: its own reading of the arguments, after its own checks."""
    deployment = build(arguments)._bound_deployment
    found = deployment._deployment_config
    config = deployment.init_kwargs["llm_config"]
    engine = config.get_engine_config()
    gang, scaling = found.gang_scheduling_config, found.autoscaling_config
    return {
        "server": deployment.name.partition(":")[0],
        "kwargs": {key: str(value) for key, value in engine.get_initialization_kwargs().items()},
        "replicas": found.num_replicas,
        "most": None if scaling is None else scaling.max_replicas,
        "target": None if scaling is None else scaling.target_ongoing_requests,
        "gang": None if gang is None else gang.gang_size,
        "bundles": deployment._replica_config.placement_group_bundles,
    }


def main() -> None:
    """Answer on standard output, in a line that begins with ANSWER."""
    deployments = json.load(sys.stdin)
    schema = {
        "http_options": {"host": "0.0.0.0", "port": 8000},
        "applications": [
            {
                "name": f"{index}",
                "route_prefix": f"/{index}",
                "import_path": "serving.app:build",
                "args": arguments,
            }
            for index, arguments in enumerate(deployments)
        ],
    }
    read = ServeDeploySchema.model_validate(schema)
    answers = [options(dict(each.args)) for each in read.applications]
    print("ANSWER" + json.dumps(answers))


if __name__ == "__main__":
    main()
