"""Steps of a release's life that both runtimes go through, each with what must hold after it."""

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import openai

from loadtests.steady.traffic import Traffic
from serving.nano.arithmetic import boxed
from tests.e2e import times
from tests.e2e.monitors import engines
from tests.e2e.playground import wait_until
from tests.e2e.release import MODEL, NAME, Release
from tests.e2e.tools import CommandError
from tests.e2e.traffic import flowing

SUMS = 24


def install(release: Release, runtime: str) -> None:
    """From nothing until the first answer."""
    with times.timed(runtime, "install, until the first answer"):
        release.install()
        release.wait_answers()
    release.wait_settled()


def assert_sums_are_right(release: Release) -> None:
    """Sums through the NodePort with OpenAI's client; the models are right 99 times of 100."""
    rng = random.Random("sums of a release")
    pairs = [(rng.randint(10, 9999), rng.randint(10, 9999)) for _ in range(SUMS)]
    target = release.target()
    with openai.OpenAI(base_url=target.url, api_key=target.key, max_retries=0) as client:

        def ask(pair: tuple[int, int]) -> int | None:
            answer = client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": f"What is {pair[0]} + {pair[1]}?"}],
                temperature=0,
            )
            return boxed(answer.choices[0].message.content or "")

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(ask, pairs))
    wrong = [
        (pair, answer) for pair, answer in zip(pairs, answers, strict=True) if answer != sum(pair)
    ]
    assert len(wrong) <= 1, wrong


def assert_one_engine_counts(release: Release) -> None:
    """The one replica's own metrics are found, and count what was asked."""
    listed = engines(release)
    assert len(listed) == 1
    assert all(sums["vllm:generation_tokens_total"] > 0 for sums in listed.values())


@contextmanager
def disturbed(runtime: str, step: str, known: Traffic, most: int = 0) -> Iterator[None]:
    """A step beside traffic, timed, with what callers saw of it.

    At most `most` calls may have a fault: an error, a token lost or doubled.
    """
    with flowing(known) as watched:
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
    report = watched.report()
    wrong = len({id(each.call) for each in report.faults})
    seen = f"{len(report.calls)} calls, {wrong} with a fault; "
    times.note(runtime, step, seconds, f"{seen}longest pause {report.longest_pause:.1f} s")
    assert report.calls, "nobody asked"
    assert wrong <= most, report.text()


def kill(release: Release, pod: str) -> None:
    """End a pod without any grace, as a lost machine does."""
    release.kubectl("delete", "pod", pod, "--grace-period=0", "--force")


def evict(release: Release, pod: str) -> bool:
    """Ask for a pod's eviction as `kubectl drain` does; False if a disruption budget forbids it."""
    review = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": release.namespace},
    }
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction"
    try:
        release.tools.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(review))
    except CommandError as error:
        if "disruption budget" not in str(error):
            raise
        return False
    return True


def wait_new(release: Release, component: str, old: set[str], count: int) -> None:
    """Until `count` pods of a component are ready and none of them is an old one (uids)."""

    def new() -> bool:
        uids = {each["metadata"]["uid"] for each in release.pods(component)}
        return len(uids) == count and not uids & old

    wait_until(f"{count} new pods of {component}", new, 300)
    release.wait_settled()


def uids(release: Release, component: str) -> set[str]:
    return {each["metadata"]["uid"] for each in release.pods(component)}


def restart_gateways(release: Release, times_over: int) -> None:
    """`kubectl rollout restart`, so many times."""
    for _ in range(times_over):
        release.kubectl("rollout", "restart", f"deployment/{NAME}-gateway")
        release.kubectl("rollout", "status", f"deployment/{NAME}-gateway", "--timeout=280s")


def wait_gone(release: Release) -> None:
    """Until nothing is left but what docs/kubernetes.md says: keys, data, the last test's log."""
    instance = ("-l", f"app.kubernetes.io/instance={NAME}")
    volumes = {
        f"PersistentVolumeClaim/{each['metadata']['name']}"
        for each in release.get("pvc", *instance)
    }
    stays = {f"Secret/{NAME}-secrets", f"Pod/{NAME}-test", *volumes}
    wait_until(f"all but {stays} is gone", lambda: left_behind(release) <= stays, 300)


def left_behind(release: Release) -> set[str]:
    """What is still in the namespace, by kind and name, but for what every namespace has."""
    kinds = release.tools.kubectl(
        "api-resources", "--namespaced", "--verbs=list", "-o", "name"
    ).split()
    skipped = {"events", "events.events.k8s.io", "pods.metrics.k8s.io"}
    asked = ",".join(each for each in kinds if each not in skipped)
    names = {f"{o['kind']}/{o['metadata']['name']}" for o in release.get(asked)}
    return names - {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}
