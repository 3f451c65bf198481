"""A fault, its alert, its end: one drill of several. The others are in tests/chaos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.observability.drilled import Drilled, drilled


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Drilled]:
    with drilled(tmp_path) as made:
        made.clears()
        yield made


def test_a_broken_upstream_opens_its_breaker_and_hurts_nobody(stack: Drilled) -> None:
    broken = stack.engines[0]
    broken.control(status=500)
    stack.fires("R1BreakerOpen")
    assert stack.gateway.post().status_code == 200
    broken.reset()
    stack.clears("R1BreakerOpen")
