"""Whole fleets in virtual time: each scenario's claim, at its small size."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache

import pytest

from gateway.settings import RetrySettings
from r1.fleet.scale.__main__ import main, row
from r1.fleet.scale.bars import bars
from r1.fleet.scale.load import People
from r1.fleet.scale.play import Played, play
from r1.fleet.scale.scenarios import POLICIES, SMALL, Policy, Scenario, herd_on_prompt

NAMED = {each.name: each for each in SMALL}
# A hundred times the people for one replica: seconds, where the others take one or two.
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if each.people.users > 10_000 else name
    for name, each in NAMED.items()
]


@lru_cache
def played(name: str, policy: Policy) -> Played:
    return play(NAMED[name], policy)


def group(name: str) -> dict[str, Played]:
    return {policy: played(name, policy) for policy in POLICIES}


@pytest.mark.parametrize("name", NAMES)
def test_r1_reaches_its_bars(name: str) -> None:
    missed = [bar for bar, reached in bars(group(name)).items() if not reached]
    assert not missed


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_question_has_one_ending(name: str, policy: Policy) -> None:
    result = played(name, policy)
    assert result.seen
    assert all(each.ending is not None and each.ended_s is not None for each in result.seen)
    assert sum(result.figures.endings.values()) == result.figures.asked
    assert result.under_way == 0
    began = [each for each in result.seen if each.ending in ("whole", "broken")]
    assert all(each.first_s is not None for each in began)


def test_gateways_are_asked_the_same() -> None:
    """Until an answer takes another time, the same people ask the same at the same time."""
    first = [
        [(each.asked_s, each.tenant, each.tokens) for each in played("a retry storm", policy).seen]
        for policy in POLICIES
    ]
    assert first[0][:50] == first[1][:50] == first[2][:50]


def test_the_same_seed_gives_the_same_table() -> None:
    herd = herd_on_prompt(1, 100)
    small = replace(herd, people=replace(herd.people, users=200))
    first, again, other = (play(small, "r1", seed) for seed in (1, 1, 2))
    assert row(first) == row(again)
    assert first.seen == again.seen
    assert first.seen != other.seen


def test_a_storm_is_not_amplified() -> None:
    own, simple = played("a retry storm", "r1"), played("a retry storm", "round robin")
    start, end = own.scenario.trouble
    asked = sum(start <= each.asked_s < end for each in own.seen)
    saved = RetrySettings().budget_most
    assert own.figures.amplification <= 1.0 + RetrySettings().budget_ratio + saved / asked
    assert simple.figures.amplification > 2.0


def test_a_herd_on_one_prompt_asks_the_engine_once() -> None:
    alone = replace(herd_on_prompt(1, 300), people=People(0))
    own, simple = play(alone, "r1"), play(alone, "least loaded")
    assert own.figures.asked == 300
    assert own.figures.amplification == pytest.approx(1 / 300)
    assert own.figures.endings == Counter(whole=300)
    assert simple.figures.amplification >= 1.0


def test_a_herd_on_one_key_delays_nobody_else() -> None:
    own, simple = played("a herd on one key", "r1"), played("a herd on one key", "least loaded")
    assert own.figures.others_ttft_s <= 1.0
    assert simple.figures.others_ttft_s > 10.0
    assert own.figures.fairness > simple.figures.fairness


def test_no_answer_breaks_when_a_zone_is_lost() -> None:
    own, simple = played("a zone is lost", "r1"), played("a zone is lost", "round robin")
    assert own.figures.endings["broken"] == 0
    assert simple.figures.endings["broken"] > 0


def test_no_answer_breaks_when_engines_are_replaced_in_haste() -> None:
    own = played("an upgrade in haste", "r1")
    assert own.figures.endings == Counter(whole=own.figures.asked)
    assert played("an upgrade in haste", "least loaded").figures.endings["broken"] > 0


def test_overload_is_told_at_once_and_the_rest_is_served() -> None:
    name = "1 replica, 7,800 users"
    own, simple = played(name, "r1"), played(name, "least loaded")
    assert own.figures.goodput > 0.5 * played("2 replicas, 1,560 users", "r1").figures.goodput / 2
    assert own.figures.endings["left"] == 0
    assert simple.figures.goodput < 0.1 * own.figures.goodput


def test_a_day_is_followed_by_the_number_of_replicas() -> None:
    day = played("a day, autoscaled", "r1")
    counts = [count for _, count in day.replicas]
    assert min(counts) == day.scenario.replicas
    assert max(counts) > min(counts)
    least = day.scenario.measured_s / 3600 * day.scenario.replicas
    assert least < day.figures.replica_hours < least * 4


def test_load_by_the_hour_is_linear_between_hours() -> None:
    scenario = Scenario("x", 1, People(1), warm_up_s=10.0, measured_s=20.0, levels=(1.0, 0.5))
    assert scenario.level(0.0) == scenario.level(10.0) == 1.0
    assert scenario.level(15.0) == pytest.approx(0.75)
    assert scenario.level(20.0) == 0.5


def test_the_command_plays_plots_and_says_what_is_reached(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    status = main(["--size", "small", "--only", "1 replica, 10", "--plot", str(tmp_path)])
    said = capsys.readouterr().out
    assert status == 0
    assert "| 1 replica, 10 users | least loaded |" in said
    for name in ("goodput", "ttft", "cost", "fairness"):
        assert f"{name}.svg" in said


def test_the_command_names_the_scenarios_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])
    assert "a zone is lost" in capsys.readouterr().err
