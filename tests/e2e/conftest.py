"""One cluster for all tests of this folder."""

import os
import tomllib
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import yaml

from loadtests.steady.traffic import Traffic
from tests.e2e.doctor import Doctor
from tests.e2e.kit import Kit
from tests.e2e.playground import SHARED_CLASS, Playground
from tests.e2e.release import SMALL, Release, Values, merged
from tests.e2e.times import timed
from tests.e2e.tools import ROOT, TAG_VARIABLE, Tools
from tests.e2e.traffic import known

# A file of values over those of the suites: a registry, a storage class, nodes of your own.
VALUES_VARIABLE = "R1_E2E_VALUES"


@pytest.fixture(scope="session")
def kit() -> Iterator[Kit]:
    """A running cluster, ended afterwards unless it ran before."""
    folder = os.environ.get("R1_CLUSTER_KIT")
    if not folder:
        pytest.skip("R1_CLUSTER_KIT names no kit for a Kubernetes cluster (tests/e2e/kit.py)")
    if os.geteuid() != 0:
        pytest.skip("a cluster needs root")
    kit = Kit(Path(folder))
    ours = not kit.running
    try:
        if ours:
            kit.up()
        yield kit
    finally:
        if ours:
            kit.down()


@pytest.fixture(scope="session")
def template(kit: Kit) -> dict[str, object]:
    """A fake node as the kit makes it; the node itself is gone again."""
    kit.add_gpu_node("r1-template", 8)
    with Playground(kit.kubeconfig()) as place:
        return place.take_node("r1-template")


@pytest.fixture
def place(kit: Kit, template: dict[str, object]) -> Iterator[Playground]:
    """The cluster with room for one test, emptied afterwards."""
    with Playground(kit.kubeconfig(), template) as place:
        yield place


@pytest.fixture
def doctor(place: Playground, capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(place, capsys)


@pytest.fixture
def home(place: Playground) -> tuple[str, ...]:
    """Words for a namespace and a storage class in which nothing is wrong."""
    place.shared_class()
    return ("-n", place.namespace(), "--storage-class", SHARED_CLASS)


@pytest.fixture(scope="session")
def images(kit: Kit) -> str:
    """The tag of the gateway's and the CPU engine's images in the cluster, Redis beside them."""
    given = os.environ.get(TAG_VARIABLE)
    if given:
        return given
    kit.image_base()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    with timed("both", "images built and loaded"):
        Tools(kit.environment()).build_images(project["version"])
        redis = yaml.safe_load((ROOT / "deploy/helm/r1/values.yaml").read_text("utf-8"))["redis"]
        kit.load("{repository}:{tag}".format(**redis["image"]))
    return str(project["version"])


@pytest.fixture(scope="module")
def traffic(release: Release) -> Traffic:
    """Calls of the module's own `release`, whose answers are known."""
    return known(release.target())


@pytest.fixture(scope="session")
def small(images: str) -> Values:
    """What all releases of the suites begin with."""
    given = os.environ.get(VALUES_VARIABLE)
    more = yaml.safe_load(Path(given).read_text("utf-8")) if given else {}
    return merged(merged(SMALL, {"image": {"tag": images}}), more)


@pytest.fixture(scope="session")
def tools(kit: Kit) -> Tools:
    return Tools(kit.environment())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure on a release of the chart says how its pods were."""
    report = yield
    release = getattr(item, "funcargs", {}).get("release")
    if report.failed and isinstance(release, Release):
        report.sections.append(("the release", release.describe()))
    return report
