"""What the pages tell a reader to install renders, with the arguments that they show."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import CHART, Helm, parse
from tests.pages import CHART as RENDERED
from tests.pages import ROOT, Block, blocks, chosen, commands, lines
from tests.playground import Playground

VALUES = CHART / "presets" / "distill-qwen-7b.yaml"
"""What the release of a reader has, where a page changes some of it."""
NAMES = {
    "MODEL": "deepseek-r1-distill-qwen-7b",
    "SHAPE": "1xl40s",
    "OTHER": "deepseek-r1",
    "CHART": "deploy/helm/r1",
}
"""Which of the pages' placeholders stands for what here."""
RENDERS = re.compile(r"helm (install|upgrade|template) ")
APART = {
    line: block
    for block in reversed(commands())
    if block.where != RENDERED
    for line in filter(RENDERS.match, lines(block.text))
}
"""Each line once, with the first block that has it."""


@pytest.fixture
def playground(helm: Helm, tmp_path: Path) -> Playground:
    found = shutil.which("helm", path=helm.environment["PATH"])
    assert found is not None
    made = Playground(tmp_path, helm.environment)
    made.rendering(found, VALUES)
    shutil.copy(VALUES, tmp_path / "values.yaml")
    return made


@pytest.mark.parametrize("block", chosen(RENDERED), ids=lambda block: block.name)
def test_blocks_for_helm_render(playground: Playground, helm: Helm, block: Block) -> None:
    playground.files_of(block.page)
    assert playground.run(block, NAMES).strip()


@pytest.mark.parametrize("line", APART)
def test_so_do_single_lines_among_what_needs_a_cluster(playground: Playground, line: str) -> None:
    playground.files_of(APART[line].page)
    assert playground.text(APART[line], line, NAMES) or ">/dev/null" in line


def test_the_application_of_argo_cd_renders_alike_each_time(playground: Playground) -> None:
    page = ROOT / "docs" / "kubernetes.md"
    (block,) = [each for each in blocks(page) if "kind: Application" in each.text]
    source = yaml.safe_load(block.text)["spec"]["source"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert source["targetRevision"] == f"v{project['version']}"
    helm = source["helm"]
    files = " ".join(f"-f {source['path']}/{each}" for each in helm["valueFiles"])
    words = f"helm template {helm['releaseName']} {source['path']} {files}"
    first, second = (playground.text(block, words) for _ in range(2))
    assert first == second


def test_a_value_that_there_is_not_would_be_found(playground: Playground) -> None:
    block = Block(CHART / "README.md", 1, "bash", "helm install r1 deploy/helm/r1 --set a=1\n", "")
    with pytest.raises(AssertionError, match="additional properties 'a' not allowed"):
        playground.run(block)


def test_what_is_rendered_is_the_release(playground: Playground) -> None:
    block = Block(CHART / "README.md", 1, "bash", "helm install r1 deploy/helm/r1 -n r1\n", "")
    kinds = {each["kind"] for each in parse(playground.run(block))}
    assert {"Deployment", "StatefulSet", "NetworkPolicy", "Secret"} <= kinds
