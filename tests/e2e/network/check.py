"""A release's policies, held against the connections that its pods make and those they must not."""

from collections.abc import Iterator

from loadtests.steady.traffic import Traffic
from tests.e2e.network.policies import Flow, Peer, Policies
from tests.e2e.network.recorder import Recorder, component
from tests.e2e.playground import wait_until
from tests.e2e.release import NAME, Release
from tests.e2e.traffic import flowing

API = ("gateway", 8080)
CALLER = Peer("203.0.113.9", name="a caller outside")
# Who talks to whom in every runtime; a recording without them says nothing.
EDGES = {
    ("gateway", "redis"),
    ("gateway", "ray-worker"),
    ("ray-worker", "redis"),
    ("ray-worker", "ray-head"),
    ("ray-head", "ray-redis"),
}


def recorded(release: Release, traffic: Traffic) -> Recorder:
    """The connections under traffic, once everybody who should was seen talking."""
    recorder = Recorder(release)

    def all_seen() -> bool:
        recorder.look()
        return recorder.edges() >= EDGES

    with flowing(traffic):
        wait_until(f"connections {EDGES} are seen", all_seen, 180)
    return recorder


def refused(release: Release, recorder: Recorder) -> list[str]:
    """Needed connections that the policies deny."""
    policies = Policies(release.get("networkpolicies"), blocks_match_pods=False)
    gateways = [each for each in recorder.listening if component(each) == API[0]]
    calls = [Flow(CALLER, each, API[1]) for each in gateways]
    needed = [*recorder.between_pods(), *recorder.names(), *calls]
    return sorted(filter(None, map(policies.refusal, needed)))


def strangers(release: Release) -> Iterator[Peer]:
    """Pods that have no business with the release; one of them claims to be its gateway."""
    claimed = {
        "app.kubernetes.io/name": NAME,
        "app.kubernetes.io/instance": NAME,
        "app.kubernetes.io/component": "gateway",
    }
    here, elsewhere = release.namespace, {"kubernetes.io/metadata.name": "elsewhere"}
    own = {"kubernetes.io/metadata.name": here}
    yield Peer("10.244.7.1", here, {"app": "other"}, own, name="a pod of the same namespace")
    yield Peer(
        "10.244.7.2", "elsewhere", claimed, elsewhere, name="a pod with the gateway's labels"
    )
    yield CALLER


def let_in(release: Release, recorder: Recorder) -> list[str]:
    """Ports that somebody listens on and that a stranger reaches, the API left out."""
    policies = Policies(release.get("networkpolicies"), blocks_match_pods=True)
    return sorted(
        str(flow)
        for stranger in strangers(release)
        for pod, ports in recorder.listening.items()
        for port in ports
        if (component(pod), port) != API and policies.allows(flow := Flow(stranger, pod, port))
    )
