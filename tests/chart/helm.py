"""Renders the chart and looks at what comes out."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "r1"
VALUES = sorted((*CHART.glob("ci/*-values.yaml"), *CHART.glob("presets/*.yaml")))
"""Values that must render: those of CI, and those for real machines."""
NAMESPACE = "models"

Document = dict[str, Any]
Values = Mapping[str, Any]


class RenderError(AssertionError):
    """helm refused; the message is what it said."""


class Helm:
    """helm, kubeconform and the unit tests' plugin."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._rendered: dict[str, str] = {}

    def run(self, *words: str, given: str | None = None) -> str:
        """Standard output of a command. Raises RenderError with all that it said."""
        done = subprocess.run(
            words, env=self.environment, input=given, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RenderError(done.stdout + done.stderr)
        return done.stdout

    def text(self, *files: Path, release: str = "r1", **values: Any) -> str:
        """What `helm template` prints; `values` go on top of the files. Rendered once."""
        asked = repr((files, release, values))
        if asked not in self._rendered:
            self._rendered[asked] = self.template(*files, release=release, **values)
        return self._rendered[asked]

    def template(self, *files: Path, release: str = "r1", **values: Any) -> str:
        """The same, rendered anew."""
        # JSON on the command line would be read as a list of assignments.
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as own:
            json.dump(values, own)
            own.flush()
            given = [word for file in (*files, own.name) for word in ("-f", str(file))]
            where = ("--namespace", NAMESPACE, "--kube-version", "1.34.0")
            return self.run("helm", "template", release, str(CHART), *where, *given)

    def render(self, *files: Path, release: str = "r1", **values: Any) -> list[Document]:
        """The documents of `helm template`."""
        return parse(self.text(*files, release=release, **values))

    def refused(self, **values: Any) -> str:
        """What helm says of values that it doesn't take."""
        try:
            self.text(**values)
        except RenderError as error:
            return str(error)
        raise AssertionError(f"helm took {values}")

    def conform(self, text: str) -> None:
        """Check against the schemas of Kubernetes and of the CRDs. Raises RenderError."""
        schemas = self.environment["R1_SCHEMAS"]
        # The kit has no schema of ScrapeConfig; tests/chart/test_monitoring.py looks at it.
        self.run(
            *("kubeconform", "-strict", "-schema-location", schemas, "-skip", "ScrapeConfig", "-"),
            given=text,
        )


def parse(text: str) -> list[Document]:
    """The documents of a stream."""
    # The loader in C: it is SafeLoader too, ten times as fast.
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def one(documents: list[Document], kind: str, name: str) -> Document:
    """The document of this kind and name."""
    (found,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name]
    return found


def templates(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """The pods that come out of these documents: where from, and a pod with metadata and spec."""
    for each in documents:
        where = f"{each['kind']}/{each['metadata']['name']}"
        spec = each.get("spec") or {}
        if each["kind"] == "Pod":
            yield where, each
        elif each["kind"] == "RayService":
            cluster = spec["rayClusterConfig"]
            yield f"{where} head", cluster["headGroupSpec"]["template"]
            for group in cluster.get("workerGroupSpecs", ()):
                yield f"{where} {group['groupName']}", group["template"]
        elif "template" in spec and "spec" in spec["template"]:
            yield where, spec["template"]


def containers(pod: Document) -> list[Document]:
    """All containers of a pod."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
