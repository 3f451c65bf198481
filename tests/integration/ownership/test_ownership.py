"""Whoever dies, nothing of a stack stays: with fake parts, so that each death takes a second."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from r1.stack.home import Home
from r1.stack.plan import ServedModel, StackPlan
from r1.stack.processes import end_all, is_running, marked
from r1.stack.status import StackStatus, load

FAKE_STACK = Path(__file__).with_name("fake_stack.py")
LIMIT_S = 60.0


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail with its name after a minute."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < LIMIT_S, f"waited in vain: {what}"
        time.sleep(0.02)


class FakeStack:
    """A started guard and what can be asked of its stack."""

    def __init__(self, home: Home, plan: StackPlan) -> None:
        self.home = home
        self.plan = plan
        self.guard = subprocess.Popen(
            [sys.executable, str(FAKE_STACK), "guard", str(home.path)],
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )

    def status(self) -> StackStatus:
        """The status, once there is one of this stack."""
        wait_for("a status", lambda: load(self.home) is not None)
        status = load(self.home)
        assert status is not None
        return status

    def wait(self, state: str) -> StackStatus:
        """Wait for a state of the stack."""
        wait_for(f"the stack to be {state}", lambda: self.status().state == state)
        return self.status()

    def pids(self, part: str) -> tuple[int, int]:
        """A part's pid and that of the child it would orphan."""
        own, orphan = (self.home.path / f"{part}.pids").read_text().split()
        return int(own), int(orphan)

    def left(self) -> list[int]:
        """Processes of the stack that run, its supervisor included, its guard not."""
        return [pid for pid in marked(self.plan.marker) if is_running(pid)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.of(20000, tmp_path)
    made.create()
    return made


@pytest.fixture
def stack(home: Home, tmp_path: Path) -> Iterator[FakeStack]:
    (tmp_path / "temp").mkdir()
    plan = StackPlan(
        stack_id=f"20000-{os.urandom(6).hex()}",
        home=str(home.path),
        base=20000,
        models=(ServedModel("r1-nano", None, "default"),),
        temp_dir=str(tmp_path / "temp"),
        gateway_workers=1,
        longest_answer_s=60.0,
        drain_s=5.0,
        foreground_pid=None,
    )
    plan.save()
    started = FakeStack(home, plan)
    yield started
    if started.guard.poll() is None:
        started.guard.kill()
    started.guard.wait()
    assert end_all(started.left, 0.0) == []


def test_sigterm_ends_all_and_the_gateway_first(stack: FakeStack) -> None:
    stack.wait("ready")
    assert len(stack.left()) == 7
    stack.guard.terminate()
    assert stack.guard.wait(LIMIT_S) == 0
    assert stack.left() == []
    assert stack.status().state == "stopped"
    told = stack.home.progress.read_text()
    order = [told.index(f"ending {part}") for part in ("gateway", "models", "store")]
    assert order == sorted(order)
    assert not Path(stack.plan.temp_dir).exists()


def test_a_killed_supervisor_leaves_nothing(stack: FakeStack) -> None:
    supervisor = stack.wait("ready").supervisor_pid
    os.kill(supervisor, signal.SIGKILL)
    stack.guard.wait(LIMIT_S)
    assert stack.left() == []
    assert "the supervisor ended by SIGKILL" in stack.home.progress.read_text()


def test_a_killed_guard_leaves_nothing(stack: FakeStack) -> None:
    stack.wait("ready")
    stack.guard.kill()
    wait_for("all to end", lambda: stack.left() == [])
    assert stack.status().state == "stopped"


def test_guard_and_supervisor_killed_together_leave_no_part(stack: FakeStack) -> None:
    supervisor = stack.wait("ready").supervisor_pid
    parts = [stack.pids(part)[0] for part in ("store", "models", "gateway")]
    os.kill(stack.guard.pid, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    wait_for("the parts to end", lambda: not any(is_running(pid) for pid in parts))


@pytest.mark.parametrize("part", ["gateway", "store", "models"])
def test_a_dead_part_is_started_again_and_its_orphan_ended(stack: FakeStack, part: str) -> None:
    stack.wait("ready")
    own, orphan = stack.pids(part)
    os.kill(own, signal.SIGKILL)
    wait_for(
        f"{part} to be back",
        lambda: stack.pids(part)[0] != own and stack.status().state == "ready",
    )
    assert not is_running(orphan)
    assert stack.status().parts[part].restarts == 1
    assert f"{part} was ended by SIGKILL" in stack.home.progress.read_text()
    others = {"gateway", "store", "models"} - {part}
    assert all(is_running(pid) for other in others for pid in stack.pids(other))


def test_parts_that_die_together_both_come_back(stack: FakeStack) -> None:
    stack.wait("ready")
    first = {part: stack.pids(part) for part in ("store", "gateway")}
    for own, _ in first.values():
        os.kill(own, signal.SIGKILL)
    wait_for(
        "both to be back",
        lambda: (
            stack.status().state == "ready"
            and all(stack.pids(part)[0] != own for part, (own, _) in first.items())
        ),
    )
    assert not any(is_running(pid) for pids in first.values() for pid in pids)
    assert [stack.status().parts[part].restarts for part in first] == [1, 1]


class TestFailingStart:
    """A stack whose model can't be served."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Home:
        made = Home.of(20000, tmp_path)
        made.create()
        (made.path / "models.fail").touch()
        return made

    def test_its_reason_is_told_and_nothing_stays(self, stack: FakeStack) -> None:
        assert stack.guard.wait(LIMIT_S) == 1
        status = stack.status()
        assert status.state == "failed"
        assert "no memory" in status.message
        assert str(stack.home.log("models")) in status.message
        assert stack.left() == []


def test_a_home_has_one_guard(stack: FakeStack) -> None:
    stack.wait("ready")
    second = subprocess.run(
        [sys.executable, str(FAKE_STACK), "guard", str(stack.home.path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        timeout=LIMIT_S,
    )
    assert second.returncode == 3
    assert stack.status().state == "ready"
