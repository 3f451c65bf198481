"""The telemetry of one node, put together."""

import os
from collections.abc import Mapping

from serving.telemetry.collector import NodeCollector
from serving.telemetry.gpus import find_gpus
from serving.telemetry.memory import memory_used
from serving.telemetry.notes import Notes
from serving.telemetry.replicas import discover
from serving.telemetry.server import TelemetryServer


def node_telemetry(
    host: str, port: int, environment: Mapping[str, str] = os.environ
) -> TelemetryServer:
    """Return the server of this node's telemetry, listening but not answering yet.

    Raises:
        OSError: the port is taken.
    """
    collector = NodeCollector(find_gpus(), memory_used, Notes.of(environment).read)
    return TelemetryServer(host, port, collector, lambda: discover(environment))
