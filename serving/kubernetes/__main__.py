"""`python -m serving.kubernetes`: the controller, until SIGTERM.

RAY_AUTH_TOKEN is Ray's token; Kubernetes is asked by the pod's own account. `/metrics` of the
telemetry port answers while it lives.
"""

import argparse
import logging
import os
import signal
import threading
from pathlib import Path

from prometheus_client import start_http_server

from serving.kubernetes.asking import Server
from serving.kubernetes.controller import Controller
from serving.kubernetes.goal import Goal
from serving.kubernetes.metrics import Metrics

ROUND_S = 2.0
# Each look has Ray's dashboard gather what all nodes know, which takes much of a core. What may be
# late by this is a worker for one more replica, which takes longer to start anyway.
SETTLED_S = 10.0


def main() -> None:
    """Read the goal and bring it about, again and again: the files may change."""
    parser = argparse.ArgumentParser(prog="serving.kubernetes", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="with the chart's two files")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--instance", required=True, help="Helm's name of the release")
    parser.add_argument("--ray", required=True, help="URL of the head's dashboard")
    parser.add_argument("--port", type=int, default=8082, help="of /metrics (default: %(default)s)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    token = os.environ["RAY_AUTH_TOKEN"]
    controller = Controller(
        ray=Server(arguments.ray, lambda: token),
        kubernetes=Server.kubernetes(),
        namespace=arguments.namespace,
        instance=arguments.instance,
        metrics=Metrics(),
    )
    # A wrong goal at the start ends the process; one that comes later leaves the last in force.
    goal = Goal.load(arguments.folder)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    start_http_server(arguments.port, registry=controller.metrics.registry)
    while not stop.is_set():
        stop.wait(SETTLED_S if controller.round(goal) else ROUND_S)
        try:
            goal = Goal.load(arguments.folder)
        except (OSError, ValueError):
            logging.getLogger("r1.controller").exception("the new goal is wrong")


if __name__ == "__main__":
    main()
