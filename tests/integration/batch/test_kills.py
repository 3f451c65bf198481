"""Whatever is killed, and whenever: each line is answered once, and no process stays."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1.stack.processes import PROC, descendants, shared_files
from tests.integration.batch.running import Batch, wait_for

FAKE = Path(__file__).with_name("fake_batch.py")
LINES = 300
LIMIT_S = 60.0


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    made = Batch(tmp_path, command=(str(FAKE),))
    made.write(
        [
            {
                "custom_id": f"line-{number}",
                "body": {"model": "r1-nano", "messages": [{"role": "user", "content": "1+1"}]},
            }
            for number in range(LINES)
        ]
    )
    yield made
    made.stop()


def keeper(batch: Batch) -> int:
    """The pid of a running batch's keeper."""
    assert batch.process is not None
    found = [
        pid
        for pid in descendants(batch.process.pid)
        if b"r1.stack.keeper" in (PROC / str(pid) / "cmdline").read_bytes()
    ]
    return found[0]


def finish(batch: Batch) -> None:
    """Run to the end, and check the output."""
    assert batch.start().wait(LIMIT_S) == 0, batch.said()
    found = [line["custom_id"] for line in batch.lines()]
    assert sorted(found) == sorted(f"line-{number}" for number in range(LINES))
    wait_for("nothing to be left", lambda: batch.left() == [], LIMIT_S)
    assert batch.folders() == []
    assert not batch.log.exists()


def begin(batch: Batch, lines: int) -> None:
    """Start, and wait for so many lines more than there are."""
    wanted = len(batch.lines()) + lines
    process = batch.start()
    wait_for(
        f"{wanted} lines and an orphan with its memory",
        lambda: (
            (len(batch.lines()) >= wanted and bool(shared_files(batch.left())))
            or process.poll() is not None
        ),
        LIMIT_S,
    )
    assert process.poll() is None, batch.said()


def test_killed_again_and_again_it_loses_and_doubles_nothing(batch: Batch) -> None:
    choose = random.Random(5)
    for _ in range(2):
        begin(batch, choose.randint(1, 25))
        assert batch.end(signal.SIGKILL) == -signal.SIGKILL
    # The last one's keeper may still be at work: the next run waits for it.
    finish(batch)
    assert batch.shared() == []


def test_ctrl_c_ends_it_with_a_sentence(batch: Batch) -> None:
    begin(batch, 5)
    assert batch.end(signal.SIGINT) == 130
    done = len(batch.lines())
    assert (
        f"{done} of {LINES} lines are done; the same command goes on with the other {LINES - done}"
        in batch.said()
    )
    assert "Traceback" not in batch.said()
    assert batch.left() == []
    assert batch.shared() == []
    finish(batch)


def test_a_killed_keeper_leaves_nothing(batch: Batch) -> None:
    begin(batch, 5)
    assert batch.process is not None
    os.kill(keeper(batch), signal.SIGKILL)
    assert batch.process.wait(LIMIT_S) == 1
    assert "the worker ended early" in batch.said()
    assert batch.left() == []
    finish(batch)


def test_keeper_and_command_killed_together_are_cleaned_up_by_the_next_run(batch: Batch) -> None:
    begin(batch, 5)
    assert batch.process is not None
    os.kill(keeper(batch), signal.SIGSTOP)
    tree = keeper(batch)
    batch.end(signal.SIGKILL)
    os.kill(tree, signal.SIGKILL)
    finish(batch)
