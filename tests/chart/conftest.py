"""helm and its companions, from the kit that R1_CLUSTER_KIT names."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.helm import Helm
from tests.e2e.kit import Kit


@pytest.fixture(scope="session")
def helm() -> Iterator[Helm]:
    """The tools. They are there once a cluster ran, so one is started where none ever did."""
    folder = os.environ.get("R1_CLUSTER_KIT")
    if not folder:
        pytest.skip("R1_CLUSTER_KIT names no kit with helm and kubeconform (tests/e2e/kit.py)")
    kit = Kit(Path(folder))
    environment = {**os.environ, **kit.environment()}
    ours = shutil.which("helm", path=environment["PATH"]) is None
    if ours and os.geteuid() != 0:
        pytest.skip("helm is not unpacked yet, and the kit needs root for that: run it once")
    try:
        if ours:
            kit.up()
        yield Helm(environment)
    finally:
        if ours:
            kit.down()
