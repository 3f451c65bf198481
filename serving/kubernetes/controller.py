"""One round of the controller after the other: ask, decide, tell."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from serving.kubernetes.applications import configuration, differing
from serving.kubernetes.asking import MERGE, Asks, Unanswered
from serving.kubernetes.goal import Goal, Workers
from serving.kubernetes.metrics import Metrics
from serving.kubernetes.seen import Cluster, Ray, listed, scene, trouble
from serving.kubernetes.workers import Scene, decide, restart

APPLICATIONS = "/api/serve/applications/"
# Ray answers once Serve's own controller runs, which takes a while on a head that just started.
APPLY_TIMEOUT_S = 180.0
# A head that comes back may show nothing of what it serves for a moment.
CALM_S = 6.0
# What was applied and still is not there is applied again, but not in every round.
AGAIN_S = 60.0
_log = logging.getLogger("r1.controller")


@dataclass
class Controller:
    """Brings a goal about. Holds nothing that it can't see again after a restart."""

    ray: Asks
    kubernetes: Asks
    namespace: str
    instance: str
    """Helm's name of the release."""
    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    _said: dict[str, str] = field(default_factory=dict)
    _applied: tuple[Any, float] | None = None
    _empty_since: float | None = None

    def round(self, goal: Goal) -> bool:
        """Look once at everything, and do what is to be done now. Faults are said, not raised.

        Returns:
            Whether all was as it is to be, so that the next look may come later.
        """
        seen = self._look()
        settled = seen is not None and self._apply(goal, seen)
        for workers in goal.workers:
            try:
                settled &= self._follow(workers, seen)
            except Unanswered as error:
                settled = False
                self.metrics.failed("kubernetes")
                self._say(workers, "Waiting", f"Kubernetes doesn't answer: {error}", quiet=True)
        return settled

    def _look(self) -> Ray | None:
        try:
            details = self.ray.ask("GET", APPLICATIONS)
            nodes = self.ray.ask("GET", "/api/v0/nodes", query={"limit": "10000"})
            placements = self.ray.ask(
                "GET", "/api/v0/placement_groups", query={"limit": "10000", "detail": "1"}
            )
            seen = Ray(details["applications"], listed(nodes), listed(placements))
        except (Unanswered, ValueError, KeyError, TypeError) as error:
            self.metrics.failed("ray")
            self._empty_since = None
            self._tell("ray", f"waiting for Ray's head: {error}")
            return None
        self._tell("ray", "Ray's head answers")
        return seen

    def _apply(self, goal: Goal, seen: Ray) -> bool:
        """Have Ray Serve take the goal's configuration; tell whether it had it already."""
        serve = configuration(goal.serve, seen.applications)
        wrong = differing(serve, seen.applications)
        if not wrong:
            self._empty_since = None
            self._tell("serve", "Ray Serve has the configuration")
            return True
        now = self.clock()
        if not seen.applications:
            self._empty_since = now if self._empty_since is None else self._empty_since
            if now - self._empty_since < CALM_S:
                return False
        if self._applied is not None:
            what, when = self._applied
            if what == serve and now - when < AGAIN_S:
                return False
        try:
            self.ray.ask("PUT", APPLICATIONS, body=serve, timeout_s=APPLY_TIMEOUT_S)
        except Unanswered as error:
            self.metrics.failed("ray")
            self._tell("serve", f"Ray Serve does not take the configuration: {error}")
        else:
            self.metrics.applied()
            self._tell("serve", f"applied the Serve configuration, for {', '.join(wrong)}")
        self._applied = (serve, self.clock())
        return False

    def _follow(self, workers: Workers, ray: Ray | None) -> bool:
        """Make one model's worker count, and its workers, what they should be now.

        Returns:
            Whether they were so already, and Serve has all replicas that it wants.
        """
        cluster = self._cluster(workers)
        if ray is None or workers.model not in ray.applications:
            self._at_least(workers, cluster)
            return False
        now = scene(workers, ray, cluster)
        self.metrics.saw(workers.model, now)
        decision = decide(workers, now)
        if decision.replicas != now.declared:
            self._scale(workers, decision.replicas)
            self._say(workers, "Scaled", decision.why)
        elif group := restart(workers, now):
            self._restart(workers, sorted(group))
        elif decision.why:
            self._say(workers, "Waiting", decision.why)
        elif said := trouble(ray.applications[workers.model]):
            self._say(workers, "Failing", f"Ray Serve: {said}")
        else:
            self._say(workers, "Settled", _standing(now), quiet=True)
            return now.settled
        return False

    def _at_least(self, workers: Workers, cluster: Cluster) -> None:
        """Without Ray's word nothing is taken away, but the least that is wanted is there."""
        least = workers.least * workers.group
        if int(cluster.stateful_set["spec"].get("replicas", 1)) < least:
            self._scale(workers, least)
            self._say(workers, "Scaled", f"{least} workers, the least that are wanted")

    def _cluster(self, workers: Workers) -> Cluster:
        stateful_set = self.kubernetes.ask("GET", self._path(workers))
        labels = (
            f"app.kubernetes.io/instance={self.instance},app.kubernetes.io/component=ray-worker,"
            f"r1/model={workers.model}"
        )
        pods = self.kubernetes.ask(
            "GET", f"/api/v1/namespaces/{self.namespace}/pods", query={"labelSelector": labels}
        )
        return Cluster(stateful_set, tuple(pods["items"]))

    def _scale(self, workers: Workers, replicas: int) -> None:
        body = {"spec": {"replicas": replicas}}
        self.kubernetes.ask("PATCH", f"{self._path(workers)}/scale", body=body, kind=MERGE)

    def _restart(self, workers: Workers, ordinals: list[int]) -> None:
        for ordinal in ordinals:
            pod = f"{workers.stateful_set}-{ordinal}"
            self.kubernetes.ask("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{pod}")
        names = ", ".join(str(each) for each in ordinals)
        self._say(workers, "Restarted", f"the workers {names}, which drain, to take the new form")

    def _path(self, workers: Workers) -> str:
        name = workers.stateful_set
        return f"/apis/apps/v1/namespaces/{self.namespace}/statefulsets/{name}"

    def _tell(self, what: str, sentence: str) -> None:
        """Log what is news."""
        if self._said.get(what) != sentence:
            self._said[what] = sentence
            _log.info("%s", sentence)

    def _say(self, workers: Workers, reason: str, sentence: str, *, quiet: bool = False) -> None:
        """Log what is news of a model, and make it an event of its StatefulSet unless `quiet`."""
        if self._said.get(workers.model) == sentence:
            return
        self._tell(workers.model, sentence)
        if not quiet:
            try:
                self._event(workers, reason, sentence)
            except Unanswered as error:
                self.metrics.failed("kubernetes")
                _log.warning("the event can't be written: %s", error)

    def _event(self, workers: Workers, reason: str, sentence: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        body = {
            "metadata": {"name": f"{workers.stateful_set}.{uuid4().hex[:16]}"},
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "name": workers.stateful_set,
                "namespace": self.namespace,
            },
            "reason": reason,
            "message": f"{workers.model}: {sentence}",
            "type": "Normal",
            "source": {"component": "r1-controller"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self.kubernetes.ask("POST", f"/api/v1/namespaces/{self.namespace}/events", body=body)


def _standing(now: Scene) -> str:
    joined = sum(each.joined for each in now.workers)
    return f"{joined} of {now.declared} workers have joined, {len(now.holders)} hold replicas"
