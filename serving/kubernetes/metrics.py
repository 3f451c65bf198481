"""The controller's own metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from serving.kubernetes.workers import Scene


class Metrics:
    """What the controller sees and does, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._workers = Gauge(
            "r1_workers",
            "Workers of a model: wanted by Ray Serve, declared, joined, holding replicas",
            ("model", "state"),
            registry=self.registry,
        )
        self._applied = Counter(
            "r1_serve_applies",
            "Times that the Serve configuration was applied",
            registry=self.registry,
        )
        self._failures = Counter(
            "r1_controller_failures",
            "Questions that Ray or Kubernetes did not answer",
            ("server",),
            registry=self.registry,
        )

    def saw(self, model: str, now: Scene) -> None:
        """Show a model's workers."""
        for state, count in (
            ("wanted", now.wanted),
            ("declared", now.declared),
            ("joined", sum(each.joined for each in now.workers)),
            ("holding", len({ordinal for holder in now.holders for ordinal in holder})),
        ):
            self._workers.labels(model, state).set(count)

    def applied(self) -> None:
        """Count an application of the Serve configuration."""
        self._applied.inc()

    def failed(self, server: str) -> None:
        """Count a question that `ray` or `kubernetes` did not answer."""
        self._failures.labels(server).inc()
