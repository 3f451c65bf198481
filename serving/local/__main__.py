"""`python -m serving.local --config F --events-fd N`: run a local model plane until told to stop.

Exits with 0 after SIGTERM, with 1 when Ray's head died or couldn't be started (the reason is the
last event). What Ray leaves behind is the supervisor's to end: it owns the whole tree.
"""

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from serving import own_ray
from serving.local.config import LocalPlane, load
from serving.local.events import Event, EventWriter
from serving.local.explain import explain
from serving.local.ray_head import head_command, ray_environment
from serving.local.serve_config import serve_config
from serving.local.watch import ModelWatch
from serving.telemetry.node import node_telemetry
from serving.telemetry.notes import Notes

POLL_S = 0.25
STEADY_POLL_S = 1.0
HEAD_START_LIMIT_S = 300.0
HEAD_STOP_LIMIT_S = 5.0

logger = logging.getLogger("serving.local")


class HeadDied(RuntimeError):
    """Ray's head ended although nobody asked it to."""


def wait_for_head(
    head: subprocess.Popen[bytes],
    plane: LocalPlane,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the head's control store and node manager both listen.

    Raises:
        HeadDied: the head ended, or took longer than `HEAD_START_LIMIT_S`.
    """
    began = clock()
    for port in (plane.ports.ray_gcs, plane.ports.ray_node_manager):
        while True:
            if head.poll() is not None:
                raise HeadDied(f"Ray's head ended with code {head.returncode} while starting")
            if clock() - began > HEAD_START_LIMIT_S:
                raise HeadDied(f"Ray's head wasn't ready after {HEAD_START_LIMIT_S:.0f} s")
            try:
                socket.create_connection((plane.host, port), timeout=1).close()
            except OSError:
                sleep(POLL_S)
            else:
                break


def deploy(plane: LocalPlane) -> Any:
    """Connect to the head, start Serve and hand it all applications; return Serve's client."""
    # Imported here: Ray reads its environment when imported.
    import ray
    from ray import serve
    from ray.serve.schema import ServeDeploySchema

    ray.init(
        address=f"{plane.host}:{plane.ports.ray_gcs}",
        namespace="serve",
        logging_level=logging.WARNING,
        _node_ip_address=plane.host,
    )
    config = ServeDeploySchema.model_validate(serve_config(plane))
    serve.start(
        proxy_location=config.proxy_location,
        http_options={"host": plane.http_host, "port": plane.ports.serve},
    )
    client = serve.context._get_global_client()
    client.deploy_apps(config)
    return client


def follow(
    head: subprocess.Popen[bytes],
    client: Any,
    plane: LocalPlane,
    events: EventWriter,
    stopping: Callable[[], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Report what becomes of the applications until asked to stop.

    Raises:
        HeadDied: Ray's head ended.
    """
    notes = Notes(plane.notes)
    watches = [ModelWatch(application.model) for application in plane.applications]
    while not stopping():
        if head.poll() is not None:
            raise HeadDied(f"Ray's head ended with code {head.returncode}")
        applications = client.get_serve_details().get("applications", {})
        doing = {note.model: note.message for note in notes.read()}
        for watch in watches:
            seen = applications.get(watch.model)
            for event in (*watch.look(seen), *watch.count(seen)):
                events.write(event)
            for event in watch.hear(doing.get(watch.model, "")):
                events.write(event)
        sleep(STEADY_POLL_S if all(watch.ready for watch in watches) else POLL_S)


def run(plane: LocalPlane, events: EventWriter) -> int:
    """Run the plane; return the exit status."""
    stop = False

    def on_term(number: int, frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    own_ray.apply(ray_environment(plane))
    node_telemetry(plane.http_host, plane.ports.telemetry).start()
    (plane.temp_dir / "haproxy").mkdir(parents=True, exist_ok=True)
    own_ray.write_token(plane.temp_dir)
    events.write(Event("ray", "starting"))
    with subprocess.Popen(head_command(plane), stdin=subprocess.DEVNULL) as head:
        try:
            wait_for_head(head, plane)
            client = deploy(plane)
            # Ray's driver installs a handler of its own, which leaves with a traceback.
            signal.signal(signal.SIGTERM, on_term)
            events.write(Event("ray", "ready"))
            for application in plane.applications:
                events.write(Event(application.model, "starting"))
            follow(head, client, plane, events, lambda: stop)
        except Exception as error:  # whatever Ray raises, the supervisor gets a sentence
            if stop:
                return 0
            logger.exception("the model plane ended")
            reason = explain(f"{type(error).__name__}: {error}")
            if head.poll() is not None:
                # Whatever the driver ran into, this is why.
                reason = f"Ray's head ended with code {head.returncode}"
            events.write(Event("ray", "failed", reason))
            return 1
        finally:
            head.terminate()
            try:
                head.wait(HEAD_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                head.kill()
    return 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="serving.local", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--events-fd", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    plane = load(arguments.config)
    # Ray wants an address; a container only has a name that its address can be asked by.
    plane = plane.model_copy(update={"host": socket.gethostbyname(plane.host)})
    with os.fdopen(arguments.events_fd, "w", encoding="utf-8") as stream:
        return run(plane, EventWriter(stream))


if __name__ == "__main__":
    sys.exit(main())
