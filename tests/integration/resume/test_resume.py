"""Real engines are killed in the middle of streams; `make prove` does it fifty times."""

import random
import secrets
from pathlib import Path

import pytest

from tests.integration.resume.kills import kill_often, setting

KILLS = 2


@pytest.mark.timeout(900)
def test_greedy_answers_are_identical_to_uncut_ones(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    with setting(tmp_path) as (engines, gateway):
        result = kill_often(engines, gateway, KILLS, random.Random(seed))
    assert result.wrong == [], f"seed {seed}"
    assert result.kills == KILLS
    assert result.resumed >= KILLS
