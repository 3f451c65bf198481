"""Everything renders, by the rules of helm and of Kubernetes, and always the same."""

import re
from pathlib import Path

import pytest

from tests.chart.golden import GOLDEN, golden_file, kept
from tests.chart.helm import CHART, VALUES, Helm, RenderError

NAMED = [pytest.param((), id="default")] + [
    pytest.param((file,), id=f"{file.parent.name}-{file.stem}") for file in VALUES
]


@pytest.mark.parametrize("files", NAMED)
def test_it_renders_what_kubernetes_takes(helm: Helm, files: tuple[Path, ...]) -> None:
    helm.conform(helm.text(*files))


@pytest.mark.parametrize("files", NAMED)
def test_helm_finds_no_fault(helm: Helm, files: tuple[Path, ...]) -> None:
    given = [word for file in files for word in ("-f", str(file))]
    helm.run("helm", "lint", "--strict", "--quiet", str(CHART), *given)


def test_a_fault_would_be_found(helm: Helm) -> None:
    text = helm.text().replace("maxUnavailable: 1", "maxUnavaliable: 1")
    with pytest.raises(RenderError, match="maxUnavaliable"):
        helm.conform(text)


@pytest.mark.parametrize("files", NAMED)
def test_it_is_what_it_was(helm: Helm, files: tuple[Path, ...]) -> None:
    # `python -m tests.chart.golden` writes them; the difference belongs into the change's review.
    assert kept(helm, files) == golden_file(files).read_text("utf-8")


def test_no_golden_file_is_left_over() -> None:
    known = {golden_file(()), *(golden_file((file,)) for file in VALUES)}
    assert set(GOLDEN.glob("*.yaml")) == known


def test_it_renders_the_same_each_time(helm: Helm) -> None:
    assert helm.template(runtime="kuberay") == helm.template(runtime="kuberay")


def test_templates_ask_no_cluster_and_roll_no_dice() -> None:
    names = r"\b(lookup|rand\w+|gen[A-Z]\w+|uuidv4|now|htpasswd|bcrypt|getHostByName)\b"
    for path in (CHART / "templates").rglob("*.*"):
        code = re.findall(r"\{\{(?!-? ?/\*)(.*?)\}\}", path.read_text("utf-8"), re.DOTALL)
        assert not [each for each in code if re.search(names, re.sub(r'"[^"]*"', "", each))], path


def test_the_unit_tests_of_the_chart_pass(helm: Helm) -> None:
    helm.run("helm", "unittest", "--strict", str(CHART))


def test_an_older_kubernetes_is_refused(helm: Helm) -> None:
    with pytest.raises(RenderError, match="incompatible with Kubernetes"):
        helm.run("helm", "template", "r1", str(CHART), "--kube-version", "1.29.0")
