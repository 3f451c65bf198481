"""From what Ray Serve says of its applications to events: pure, fed with snapshots."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from serving.local.events import Event
from serving.local.explain import explain


@dataclass
class ModelWatch:
    """Follows one application through snapshots and says what changed."""

    model: str
    was_ready: bool = False
    ready: bool = False
    failed: bool = False
    message: str = ""
    doing: str = ""
    replicas: frozenset[str] = field(default_factory=frozenset)
    counts: str = ""

    def look(self, snapshot: dict[str, Any] | None) -> list[Event]:
        """Return the events between the last snapshot and this one.

        A snapshot is the application's entry in Serve's instance details, or None if Serve doesn't
        know it yet.
        """
        if snapshot is None:
            return []
        status = snapshot.get("status", "")
        reason = failure_text(snapshot)
        running = running_replicas(snapshot)
        events: list[Event] = []
        if status == "RUNNING" and running:
            events += self._came_up(running)
        elif status == "DEPLOY_FAILED" or (reason and not self.was_ready):
            # A first start that failed once fails again for the same reason: say it now.
            events += self._broke("failed", reason)
        elif self.ready and not running and sleeps(snapshot):
            self.replicas = frozenset()
        elif self.ready and not running and self.replicas:
            events += self._broke("restarting", reason or "its replica died")
        return events

    def count(self, snapshot: dict[str, Any] | None) -> list[Event]:
        """Return the event that tells of the replicas' states, if they changed."""
        counts = "" if snapshot is None else replica_counts(snapshot)
        if counts == self.counts:
            return []
        self.counts = counts
        return [Event(self.model, "replicas", counts)]

    def hear(self, message: str) -> list[Event]:
        """Return the event for what a first start says it is doing, if that is news."""
        if self.was_ready or self.failed or message == self.doing:
            return []
        self.doing = message
        return [Event(self.model, "starting", message)]

    def _came_up(self, running: frozenset[str]) -> list[Event]:
        events = []
        if not self.ready:
            events.append(Event(self.model, "ready"))
        elif len(running) >= len(self.replicas) and not running >= self.replicas:
            lost = len(self.replicas - running)
            events.append(Event(self.model, "ready", f"{lost} replica(s) were replaced"))
        self.ready, self.was_ready, self.failed = True, True, False
        self.replicas, self.message = running, ""
        return events

    def _broke(self, state: Any, reason: str) -> list[Event]:
        sentence = explain(reason)
        if sentence == self.message:
            return []
        self.ready, self.message = False, sentence
        self.failed = state == "failed"
        return [Event(self.model, state, sentence)]


def failure_text(snapshot: dict[str, Any]) -> str:
    """Return what Serve says went wrong with an application's deployments, or ""."""
    texts = []
    for deployment in snapshot.get("deployments", {}).values():
        message = str(deployment.get("message") or "")
        if deployment.get("status") in ("UNHEALTHY", "DEPLOY_FAILED") or (
            "failed to start" in message or "Traceback" in message
        ):
            texts.append(message)
    if not texts and snapshot.get("status") == "DEPLOY_FAILED":
        texts.append(str(snapshot.get("message") or ""))
    return "\n".join(texts)


def sleeps(snapshot: dict[str, Any]) -> bool:
    """Tell whether the model has no replicas because nobody asks it."""
    return all(
        deployment.get("target_num_replicas") == 0
        for deployment in snapshot.get("deployments", {}).values()
    )


def replica_counts(snapshot: dict[str, Any]) -> str:
    """Return what a model's replicas do, such as "2 running, 1 starting"."""
    states = Counter(
        # Ray's states are members of an enumeration that are strings as well.
        str.lower(replica.get("state") or "unknown")
        for name, deployment in snapshot.get("deployments", {}).items()
        if name != "LLMRouter"
        for replica in deployment.get("replicas", [])
    )
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return counted or "none: the next request starts one" * sleeps(snapshot)


def running_replicas(snapshot: dict[str, Any]) -> frozenset[str]:
    """Return the ids of the replicas that serve the model (the router's are not counted)."""
    return frozenset(
        str(replica.get("replica_id"))
        for name, deployment in snapshot.get("deployments", {}).items()
        if name != "LLMRouter"
        for replica in deployment.get("replicas", [])
        if replica.get("state") == "RUNNING"
    )
