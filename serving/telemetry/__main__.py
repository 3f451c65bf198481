"""`python -m serving.telemetry`: the telemetry of a node, beside Ray in the same container.

R1_TELEMETRY_DIR names the folder in which replicas leave what their start took, R1_REGISTRY_URL
the store in which they are registered.
"""

import argparse
import logging
import signal

from serving.telemetry.node import node_telemetry


def main() -> None:
    """Answer until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="serving.telemetry", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8082, help="(default: %(default)s)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # Blocked before there are threads, which would take the signals themselves otherwise.
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    server = node_telemetry(arguments.host, arguments.port)
    server.start()
    signal.sigwait(signals)
    server.close()


if __name__ == "__main__":
    main()
