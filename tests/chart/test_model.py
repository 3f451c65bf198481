"""The model plane's objects: what Ray and the engines are told, and where they are put."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving import own_ray
from serving.app import parse as parse_arguments
from serving.engine.scaling import lifetime_environment
from serving.kubernetes.goal import Goal, Workers
from serving.preflight.demand import demands
from serving.preflight.deployment import Deployment
from serving.preflight.needs import PACKAGES
from serving.preflight.sample_pod import sample_pod
from tests.chart.helm import Document, Helm, one

LARGE: dict[str, Any] = {
    "r1-nano": None,
    "deepseek-r1": {
        "hardware": "2x8xh100",
        "profile": "two-node",
        "replicas": 2,
        "nodesPerReplica": 2,
        "pod": {"gpus": 8, "rdma": {"resource": "rdma/ib", "count": 8}},
    },
    "deepseek-r1-distill-qwen-1.5b": {
        "hardware": "1xh100",
        "autoscaling": {"min": 0, "max": 4, "target": 20, "downscaleDelay": 60},
        "surge": 1,
    },
}
RUNTIMES = ("plain", "kuberay")


def ray_pods(documents: list[Document]) -> dict[str, Document]:
    """The specs of head and workers by name, of either runtime."""
    found = {}
    for each in documents:
        if each["kind"] == "StatefulSet" and "-ray-" in each["metadata"]["name"]:
            name = each["metadata"]["name"].removeprefix("r1-ray-")
            if name != "redis":
                found[name] = each["spec"]["template"]
        if each["kind"] == "RayService":
            cluster = each["spec"]["rayClusterConfig"]
            found["head"] = cluster["headGroupSpec"]["template"]
            found |= {
                group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]
            }
    return found


def container(pod: Document) -> Document:
    (found,) = pod["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(pod: Document) -> dict[str, Any]:
    return {
        each["name"]: each.get("value", each.get("valueFrom")) for each in container(pod)["env"]
    }


def goal(documents: list[Document]) -> Goal:
    data = one(documents, "ConfigMap", "r1-serve")["data"]
    workers = [Workers.model_validate(each) for each in yaml.safe_load(data["workers.yaml"])]
    return Goal(serve=yaml.safe_load(data["serve.yaml"]), workers=tuple(workers))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_release_without_models_of_its_own_starts_nothing_of_ray(
    helm: Helm, runtime: str
) -> None:
    elsewhere = {"models": {"gpt": {"upstreams": [{"url": "http://192.0.2.7:8000"}]}}}
    documents = helm.render(
        runtime=runtime,
        models={"r1-nano": {"enabled": False}},
        gateway=elsewhere,
        networkPolicy={"enabled": False},
    )
    components = {each["metadata"]["labels"]["app.kubernetes.io/component"] for each in documents}
    assert components == {"gateway", "redis", "secrets", "test"}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("longest", [90.5, 5400])
def test_every_ray_node_lets_streams_live_as_long_as_the_longest_answer(
    helm: Helm, runtime: str, longest: float
) -> None:
    for pod in ray_pods(helm.render(runtime=runtime, longestAnswer=longest)).values():
        assert lifetime_environment(longest).items() <= environment(pod).items()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_worker_may_drain_for_a_start_elsewhere_and_the_longest_answer(
    helm: Helm, runtime: str
) -> None:
    longest, start = 500, 70
    documents = helm.render(
        runtime=runtime, longestAnswer=longest, ray={"replacementSeconds": start}
    )
    pods = ray_pods(documents)
    drain = int(environment(pods["r1-nano"])["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    # Serve takes a replica off a leaving node when only its own drain is left of the time.
    assert drain >= start + longest + 30
    assert pods["r1-nano"]["spec"]["terminationGracePeriodSeconds"] > drain
    if runtime == "kuberay":
        (service,) = [each for each in documents if each["kind"] == "RayService"]
        assert service["spec"]["rayClusterDeletionDelaySeconds"] >= longest
        assert pods["head"]["spec"]["terminationGracePeriodSeconds"] > drain


def test_a_drain_may_take_one_group_of_a_models_workers_at_a_time(helm: Helm) -> None:
    """Kubernetes can't count how many pods a RayCluster wants: there, those that stay are said."""
    derived = {name: value for name, value in LARGE["deepseek-r1"].items() if name != "pod"}
    del derived["nodesPerReplica"]
    models = {**LARGE, "deepseek-r1": derived}

    def budgets(runtime: str) -> dict[str, Document]:
        return {
            each["metadata"]["name"].removeprefix("r1-ray-"): {
                name: value for name, value in each["spec"].items() if name.endswith("vailable")
            }
            for each in helm.render(runtime=runtime, models=models)
            if each["kind"] == "PodDisruptionBudget" and "-ray-" in each["metadata"]["name"]
        }

    small = "deepseek-r1-distill-qwen-1-5b"
    assert budgets("plain") == {"deepseek-r1": {"maxUnavailable": 2}, small: {"maxUnavailable": 1}}
    assert budgets("kuberay") == {"deepseek-r1": {"minAvailable": 2}, small: {"minAvailable": 0}}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_head_and_workers_agree_on_rays_settings(helm: Helm, runtime: str) -> None:
    found = [environment(pod) for pod in ray_pods(helm.render(runtime=runtime)).values()]
    for name in found[0].keys() & found[1].keys() - {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"}:
        assert found[0][name] == found[1][name]
    assert all(each["RAY_AUTH_MODE"] == "token" for each in found)


def test_ray_is_set_as_on_a_laptop_but_for_what_is_local_there(helm: Helm) -> None:
    local = {
        "RAY_TMPDIR",
        "RAY_AUTH_TOKEN_PATH",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
        "VLLM_HOST_IP",
        "GLOO_SOCKET_IFNAME",
    }
    wanted = own_ray.environment(Path("/t"))
    for pod in ray_pods(helm.render()).values():
        found = environment(pod)
        assert {name: found.get(name) for name in wanted.keys() - local} == {
            name: value for name, value in wanted.items() if name not in local
        }


def test_kuberay_is_told_the_ray_of_the_images(helm: Helm) -> None:
    (service,) = [each for each in helm.render(runtime="kuberay") if each["kind"] == "RayService"]
    assert service["spec"]["rayClusterConfig"]["rayVersion"] == PACKAGES["ray"]


def test_both_runtimes_make_the_same_pods(helm: Helm) -> None:
    plain, kuberay = (ray_pods(helm.render(runtime=each, models=LARGE)) for each in RUNTIMES)
    assert len(plain) == len(kuberay) == 3
    for name, pod in plain.items():
        other = kuberay[name.replace(".", "-")]
        for field in ("image", "resources", "securityContext", "volumeMounts", "ports", "command"):
            assert container(pod)[field] == container(other)[field]
        for field in ("volumes", "tolerations", "affinity", "securityContext"):
            assert pod["spec"].get(field) == other["spec"].get(field)


@pytest.mark.parametrize("models", [{}, LARGE])
def test_applications_are_what_serving_app_takes(helm: Helm, models: dict[str, Any]) -> None:
    found = goal(helm.render(models=models, longestAnswer=900))
    assert found.serve["applications"]
    for each in found.serve["applications"]:
        arguments = parse_arguments(each["args"])
        assert each["import_path"] == "serving.app:build"
        assert each["route_prefix"] == f"/{each['name']}"
        assert arguments.longest_answer_s == 900
        assert arguments.pool == f"model:{each['name']}"


def test_large_numbers_stay_whole_on_their_way_to_the_engine(helm: Helm) -> None:
    engine = {"kv_cache_memory_bytes": 301989888, "gpu_memory_utilization": 0.9}
    models = {"r1-nano": {"engine": engine}}
    (application,) = goal(helm.render(models=models)).serve["applications"]
    assert application["args"]["engine"] == engine
    assert isinstance(application["args"]["engine"]["kv_cache_memory_bytes"], int)


def test_autoscaling_speaks_the_applications_words(helm: Helm) -> None:
    found = goal(helm.render(models=LARGE))
    by_name = {each["name"]: each["args"] for each in found.serve["applications"]}
    arguments = by_name["deepseek-r1-distill-qwen-1.5b"]
    assert arguments["autoscaling"] == {
        "min_replicas": 0,
        "max_replicas": 4,
        "target_ongoing_requests": 20,
        "downscale_delay_s": 60,
    }
    # One replica beyond, whatever their number: Ray rounds a share up.
    assert arguments["surge_percent"] == 25
    limits = {each.model: each for each in found.workers}["deepseek-r1-distill-qwen-1.5b"]
    assert (limits.least, limits.most, limits.surge) == (0, 4, 1)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_group_of_nodes_comes_whole(helm: Helm, runtime: str) -> None:
    documents = helm.render(runtime=runtime, models=LARGE)
    if runtime == "plain":
        workers = one(documents, "StatefulSet", "r1-ray-deepseek-r1")["spec"]
        assert workers["replicas"] == 4
        assert workers["podManagementPolicy"] == "Parallel"
        # The controller restarts a group's pods together.
        assert workers["updateStrategy"]["type"] == "OnDelete"
    else:
        (service,) = [each for each in documents if each["kind"] == "RayService"]
        groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        (group,) = [each for each in groups if each["groupName"] == "deepseek-r1"]
        assert (group["numOfHosts"], group["replicas"]) == (2, 2)


@pytest.mark.parametrize(
    ("scheduler", "label"),
    [("kueue", "kueue.x-k8s.io/queue-name"), ("volcano", "volcano.sh/queue-name")],
)
def test_groups_name_the_queue_of_a_gang_scheduler(helm: Helm, scheduler: str, label: str) -> None:
    ray = {"gangScheduler": scheduler, "queueName": "gpus"}
    pods = ray_pods(helm.render(models=LARGE, ray=ray))
    assert pods["deepseek-r1"]["metadata"]["labels"][label] == "gpus"
    assert label not in pods["deepseek-r1-distill-qwen-1-5b"]["metadata"]["labels"]


def test_autoscaled_workers_are_the_controllers_to_count(helm: Helm) -> None:
    documents = helm.render(models=LARGE)
    workers = one(documents, "StatefulSet", "r1-ray-deepseek-r1-distill-qwen-1-5b")
    assert "replicas" not in workers["spec"]


def test_another_engine_is_another_cluster_of_kuberay_and_more_replicas_are_not(helm: Helm) -> None:
    def stamp(**model: Any) -> str:
        pods = ray_pods(helm.render(runtime="kuberay", models={"r1-nano": model}))
        return str(pods["r1-nano"]["metadata"]["annotations"]["r1/engine"])

    assert stamp() == stamp(replicas=3) == stamp(surge=0)
    assert stamp() != stamp(engine={"max_num_seqs": 8})


def test_the_controller_may_only_scale_what_is_its_own(helm: Helm) -> None:
    rules = one(helm.render(models=LARGE), "Role", "r1-controller")["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {
        "get", "list", "patch", "create", "delete",
    }  # fmt: skip
    for rule in rules:
        if "patch" in rule["verbs"]:
            assert rule["resources"] == ["statefulsets/scale"]
            assert len(rule["resourceNames"]) == 2
    # Without groups there is nothing that it deletes.
    rules = one(helm.render(), "Role", "r1-controller")["rules"]
    assert not any("delete" in rule["verbs"] for rule in rules)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_manifest_holds_a_secret_and_engines_get_theirs(helm: Helm, runtime: str) -> None:
    for name, pod in ray_pods(helm.render(runtime=runtime)).items():
        found = environment(pod)
        for variable in ("VLLM_API_KEY", "R1_STORE_PASSWORD"):
            assert found[variable]["secretKeyRef"]["name"] == "r1-secrets", name
        assert found["R1_REGISTRY_URL"].startswith("redis://:$(R1_STORE_PASSWORD)@")
        assert pod["spec"].get("automountServiceAccountToken") in (False, None)


def test_weights_of_one_volume_are_downloaded_once_a_model(helm: Helm) -> None:
    weights = {"claim": {"enabled": True}}
    documents = helm.render(weights=weights, models=LARGE)
    jobs = [
        each
        for each in documents
        if each["kind"] == "Job" and "weights" in each["metadata"]["name"]
    ]
    words = sorted(container(each["spec"]["template"])["args"] for each in jobs)
    assert words == [["deepseek-r1"], ["deepseek-r1-distill-qwen-1.5b"]]
    for pod in (*ray_pods(documents).values(), *(each["spec"]["template"] for each in jobs)):
        mounts = {each["mountPath"]: each["name"] for each in container(pod)["volumeMounts"]}
        assert mounts["/var/cache/r1/weights"] == "weights"
        assert environment(pod)["R1_WEIGHTS_CACHE"] == "/var/cache/r1/weights"
    # A Job can't be changed, so another source is another Job.
    models = {**LARGE, "deepseek-r1": {**LARGE["deepseek-r1"], "weights": {"source": "a/b@c"}}}
    names = {each["metadata"]["name"] for each in jobs}
    changed = helm.render(weights=weights, models=models)
    others = {d["metadata"]["name"] for d in changed if d["kind"] == "Job"} - names
    assert any(name.startswith("r1-weights-deepseek-r1-") for name in others)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("r1-nano", {"hardware": "cpu"}),
        ("r1-distill-nano", {"hardware": "cpu"}),
        ("deepseek-r1-distill-qwen-1.5b", {"hardware": "1xh100"}),
        ("deepseek-r1", {"hardware": "8xh200", "pod": {"gpus": 8}}),
    ],
)
def test_the_doctors_pod_is_the_charts(helm: Helm, model: str, fields: dict[str, Any]) -> None:
    models = {"r1-nano": None, model: fields}
    documents = helm.render(models=models)
    pods = ray_pods(documents)
    (pod,) = [pod for name, pod in pods.items() if name != "head"]
    (application,) = goal(documents).serve["applications"]
    deployment = Deployment.model_validate({"models": [application["args"]]})
    ((demand,), _) = demands(deployment)
    sample = sample_pod(demand, deployment)["spec"]
    real, asked = container(pod), container({"spec": sample})
    assert real["resources"]["requests"].keys() == asked["resources"]["requests"].keys()
    for name, amount in asked["resources"]["requests"].items():
        given = real["resources"]["requests"][name]
        if name == "memory":
            assert bytes_of(given) >= int(amount)
        else:
            assert cores(given) == float(amount)
    assert sample["securityContext"]["runAsUser"] == pod["spec"]["securityContext"]["runAsUser"]
    assert asked["securityContext"] == real["securityContext"]
    assert {each["mountPath"] for each in asked["volumeMounts"]} <= {
        each["mountPath"] for each in real["volumeMounts"]
    }
    (shm,) = [each for each in pod["spec"]["volumes"] if each["name"] == "shm"]
    (assumed,) = [each for each in sample["volumes"] if each["name"] == "shm"]
    assert bytes_of(shm["emptyDir"]["sizeLimit"]) == int(assumed["emptyDir"]["sizeLimit"])
    for toleration in sample["tolerations"] if demand.gpus else ():
        assert {"key": toleration["key"], "operator": "Exists"} in pod["spec"]["tolerations"]


def bytes_of(quantity: str) -> int:
    for unit, factor in (("Gi", 2**30), ("Mi", 2**20)):
        if quantity.endswith(unit):
            return int(quantity.removesuffix(unit)) * factor
    return int(quantity)


def cores(quantity: Any) -> float:
    text = str(quantity)
    return int(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def test_workers_offer_the_pool_that_the_application_asks_for(helm: Helm) -> None:
    documents = helm.render(models=LARGE)
    pods = ray_pods(documents)
    for workers in goal(documents).workers:
        pod = pods[workers.stateful_set.removeprefix("r1-ray-")]
        (word,) = [each for each in container(pod)["args"] if each.startswith("--resources=")]
        assert json.loads(word.removeprefix("--resources=")) == {
            workers.pool: workers.ranks_per_worker
        }
