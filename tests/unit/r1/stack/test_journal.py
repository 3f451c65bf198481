from pathlib import Path

import pytest

from r1.stack.home import Home
from r1.stack.journal import Journal
from r1.stack.status import PartStatus, StackStatus, load, running_bases


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.of(20000, tmp_path)
    made.create()
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(home: Home, clock: Clock) -> Journal:
    parts = {name: PartStatus() for name in ("store", "gateway")}
    return Journal(home, StackStatus(20000, "20000-ab", began=1000.0, parts=parts), clock)


def saved(home: Home) -> StackStatus:
    status = load(home)
    assert status is not None
    return status


def test_a_start_is_told_and_timed(home: Home, journal: Journal, clock: Clock) -> None:
    journal.part("store", "starting", pid=7)
    clock.now += 2.5
    journal.part("store", "ready")
    assert saved(home).parts["store"].pid == 7
    assert saved(home).parts["store"].ready_after_s == 2.5
    assert "store is ready after 2.5 s" in home.progress.read_text()


def test_the_same_news_is_told_once(home: Home, journal: Journal) -> None:
    for _ in range(3):
        journal.part("store", "starting")
    assert home.progress.read_text().count("store: starting") == 1


def test_restarts_are_counted_and_carry_their_reason(home: Home, journal: Journal) -> None:
    journal.part("gateway", "ready")
    journal.part("gateway", "restarting", "gateway was ended by SIGKILL")
    journal.part("gateway", "starting")
    journal.part("gateway", "ready")
    assert saved(home).parts["gateway"].restarts == 1
    assert "restarting: gateway was ended by SIGKILL" in home.progress.read_text()
    assert saved(home).parts["gateway"].message == ""


def test_readiness_of_the_stack_is_timed_once(home: Home, journal: Journal, clock: Clock) -> None:
    clock.now += 30
    journal.stack("ready")
    clock.now += 100
    journal.stack("degraded", "gateway is being restarted")
    journal.stack("ready")
    assert saved(home).ready_after_s == 30


def test_what_is_waited_for_is_what_is_not_ready(journal: Journal) -> None:
    journal.part("store", "ready")
    assert journal.status.not_ready() == ["gateway"]


def test_a_status_is_alive_only_with_its_own_supervisor() -> None:
    status = StackStatus(20000, "x", supervisor_pid=5, supervisor_started=9)
    assert status.is_alive(lambda pid, started: (pid, started) == (5, 9))
    assert not status.is_alive(lambda pid, started: False)
    assert not StackStatus(20000, "x").is_alive(lambda pid, started: True)


def test_a_dead_stack_is_not_listed_as_running(home: Home, journal: Journal) -> None:
    journal.status.supervisor_pid, journal.status.supervisor_started = 2**22 - 1, 1
    journal.save()
    assert running_bases(home.path.parent) == []


def test_a_home_without_a_stack_has_no_status(tmp_path: Path) -> None:
    assert load(Home(tmp_path / "nothing")) is None
