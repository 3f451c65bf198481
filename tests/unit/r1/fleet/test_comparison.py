"""What the comparison of windows makes of its results."""

from __future__ import annotations

from array import array
from dataclasses import replace

from r1.fleet.__main__ import best, followed, row
from r1.fleet.batching import Result
from r1.fleet.chart import draw
from r1.fleet.scenarios import HIGH

CHAT = replace(HIGH[1], users=24, warm_up_s=5.0, measured_s=20.0)


def result(tokens: int, itl_s: float, ttft_s: float) -> Result:
    return Result(CHAT, tokens, array("f", [itl_s]), array("f", [ttft_s]))


def test_the_best_window_keeps_the_target_and_is_the_quickest_of_equals() -> None:
    target = CHAT.itl_s
    results = {
        4: result(100, target / 4, 9.0),
        8: result(200, target / 2, 5.0),
        16: result(200, target * 0.9, 3.0),
        32: result(300, target * 1.1, 1.0),
    }
    assert best(results) == 16
    assert best({32: results[32], 64: results[32]}) == 32
    assert "| 0.500 |" in row("4", results[4], results[8])


def test_the_gateways_window_grows_to_the_load() -> None:
    """24 users of an engine that would serve more within its targets."""
    own = followed(CHAT)
    assert own.kept
    assert own.course[-1][1] >= 24
    assert own.ttft() < 0.1


def test_a_course_is_drawn() -> None:
    drawn = draw([(float(second), 1.0 if second < 50 else 10.0) for second in range(100)])
    rows = drawn.splitlines()
    assert rows[0].startswith("    10 ┤" + " " * 36 + "█")
    assert rows[-2].startswith("     1 ┤█")
    assert rows[-1].endswith("99")
    assert draw([]) == ""
