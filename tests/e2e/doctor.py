"""`r1 doctor` against a cluster, and what it said."""

import json

import pytest

from r1.cli import main
from tests.e2e.playground import Playground, product, with_amount

ONE_NODE = ("deepseek-r1", "--hardware", "8xh200")
KUBERAY = ("--runtime", "kuberay")
TWO_NODES = ("deepseek-r1", "--hardware", "2x8xh100")
H100 = product("NVIDIA-H100-80GB-HBM3", 81559)
RDMA = with_amount("rdma/hca_shared_devices_a", "8")


class Doctor:
    """Runs the command against the cluster."""

    def __init__(self, place: Playground, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._capsys = capsys
        self.status = -1
        self.text = ""
        self.findings: list[dict[str, str]] = []

    def look(self, *words: str, kubeconfig: str | None = None) -> None:
        given = ["--kubeconfig", kubeconfig or self.place.kubeconfig, "--json"]
        self.status = main(["doctor", *words, *given])
        self.text = self._capsys.readouterr().out
        self.findings = json.loads(self.text)["findings"]

    def ids(self, severity: str) -> set[str]:
        return {each["id"] for each in self.findings if each["severity"] == severity}

    def of(self, check: str) -> list[dict[str, str]]:
        return [each for each in self.findings if each["id"] == check]
