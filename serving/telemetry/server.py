"""The telemetry port: `/metrics`, `/replicas` and `/livez`."""

import json
import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector
from redis.exceptions import RedisClusterException, RedisError

from serving.registry import WrongStoreUrl
from serving.telemetry.replicas import NoRegistry

Discover = Callable[[], list[dict[str, Any]]]
_log = logging.getLogger(__name__)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10
    """Seconds that a caller may be silent."""

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no news."""


class TelemetryServer:
    """Answers on one port, in threads of its own."""

    def __init__(self, host: str, port: int, collector: Collector, discover: Discover) -> None:
        """Listen.

        Args:
            host: address; loopback unless Prometheus is elsewhere.
            port: 0 for any.
            collector: of the node's gauges.
            discover: returns the target groups of all replicas.

        Raises:
            OSError: the port is taken.
        """
        registry = CollectorRegistry()
        registry.register(collector)
        self._metrics = make_wsgi_app(registry)
        self._discover = discover
        self._server = make_server(host, port, self._answer, _Server, _Quiet)
        self.port: int = self._server.server_port

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True).start()

    def close(self) -> None:
        """Stop answering. Only after `start`."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], begin: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, begin)
            return answer
        status, body = self._other(path)
        begin(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    def _other(self, path: str) -> tuple[str, Any]:
        if path == "/livez":
            return "200 OK", {"status": "ok"}
        if path != "/replicas":
            return "404 Not Found", {"error": "there are /metrics, /replicas and /livez"}
        try:
            return "200 OK", self._discover()
        except (NoRegistry, WrongStoreUrl) as error:
            return "503 Service Unavailable", {"error": str(error)}
        except (RedisError, RedisClusterException) as error:
            # Prometheus keeps the targets it has while it gets no list.
            _log.warning("replicas can't be listed: %s", error)
            return "503 Service Unavailable", {"error": "the registry can't be read"}
