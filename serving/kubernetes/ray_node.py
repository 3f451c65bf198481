"""`python -m serving.kubernetes.ray_node COMMAND…`: the first process of a Ray pod.

It runs Ray and, beside it, the node's telemetry: only a process in Ray's own container sees its
memory limit and its GPUs. SIGTERM goes to Ray's own process alone, which drains the node; its
children would end at once. Without a command it runs the one that KubeRay gives in the environment.
"""

import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FrameType

import psutil

from serving.telemetry.node import node_telemetry

KUBERAY_COMMAND = "KUBERAY_GEN_RAY_START_CMD"
TELEMETRY_PORT = 8082
# Without a head nothing moves elsewhere, and Ray would wait for all of its time, as after a release
# was uninstalled. A head that only starts anew is back before.
HEAD_GONE_S = 120.0
# A head that drains waits for all of its time too, though nobody is left to whom it matters. A
# worker whose network is lost for a moment is back before.
WORKERS_GONE_S = 15.0
GCS_PORT = 6379
_ADDRESS = "--address="


def command(given: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """What to run: what was given, or KubeRay's command.

    Raises:
        SystemExit: there is neither.
    """
    if given:
        return list(given)
    text = environment.get(KUBERAY_COMMAND)
    if not text:
        raise SystemExit(f"give a command, or set {KUBERAY_COMMAND}")
    return [os.path.expandvars(word) for word in shlex.split(text)]


def head_of(words: Sequence[str]) -> tuple[str, int] | None:
    """Where the head is that a worker's command names; None for the head's own command."""
    for word in words:
        if word.startswith(_ADDRESS):
            host, _, port = word.removeprefix(_ADDRESS).rpartition(":")
            return host, int(port)
    return None


def has_workers(port: int = GCS_PORT) -> bool:
    """Whether another machine or pod is connected to the head's store of the cluster's state."""
    return any(
        each.status == psutil.CONN_ESTABLISHED
        and each.laddr
        and each.raddr
        and each.laddr.port == port
        and each.raddr.ip != each.laddr.ip
        for each in psutil.net_connections("tcp")
    )


def run(
    words: Sequence[str],
    head_gone_s: float = HEAD_GONE_S,
    workers_gone_s: float = WORKERS_GONE_S,
) -> int:
    """Run a command until it ends, SIGTERM included; return its exit status.

    A worker that was told to go, and sees no head for `head_gone_s` seconds, is ended; so is a head
    that sees no worker for `workers_gone_s`.
    """
    with subprocess.Popen(words) as child:
        head = head_of(words)
        needed = has_workers if head is None else partial(_listens, head)
        patience_s = workers_gone_s if head is None else head_gone_s

        def pass_on(number: int, frame: FrameType | None) -> None:
            os.kill(child.pid, number)
            waiting = (child.pid, needed, patience_s)
            threading.Thread(target=_end_unneeded, args=waiting, daemon=True).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, pass_on)
        # The first process of a container inherits all orphans, and has to see them end.
        while child.returncode is None:
            process, status = os.wait()
            if process == child.pid:
                child.returncode = os.waitstatus_to_exitcode(status)
        return child.returncode


def _end_unneeded(process: int, needed: Callable[[], bool], patience_s: float) -> None:
    seen = time.monotonic()
    while time.monotonic() - seen < patience_s:
        if needed():
            seen = time.monotonic()
        time.sleep(min(1.0, patience_s))
    os.kill(process, signal.SIGKILL)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def main() -> int:
    """Run both; the exit status is the command's."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    node_telemetry("0.0.0.0", TELEMETRY_PORT).start()  # noqa: S104
    return abs(run(command(sys.argv[1:], os.environ)))


if __name__ == "__main__":
    sys.exit(main())
