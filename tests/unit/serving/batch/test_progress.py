"""Counts, pace and what is shown of them."""

import io

from rich.console import Console

from serving.batch.progress import Bar, Count, Lines, clock_time, figures, view

USAGE = {"prompt_tokens": 10, "completion_tokens": 300}


def running() -> Count:
    """10 lines, 2 done earlier, 4 now in the 20 s since 1000."""
    count = Count(10, before=2, began=1000.0)
    for number in range(4):
        count.add(USAGE if number else {}, error=number == 0)
    return count


def test_pace_and_time_left_are_those_of_this_run() -> None:
    count = running()
    assert (count.now, count.errors, count.prompt_tokens, count.completion_tokens) == (
        4,
        1,
        30,
        900,
    )
    assert count.rate(1020.0) == 45.0
    assert count.left_s(1020.0) == 20.0
    assert figures(count, 1020.0) == "45 tokens/s, 0:20 elapsed, 0:20 left, 1 with an error"


def test_nothing_is_said_before_there_is_something_to_say() -> None:
    count = Count(10)
    assert count.left_s(5.0) is None
    assert count.rate(5.0) == 0.0
    count.doing = "fetching weights: 7 % of 688.6 GB"
    assert figures(count, 5.0) == "fetching weights: 7 % of 688.6 GB"
    count.began = 1.0
    assert figures(count, 3.0) == "0 tokens/s, 0:02 elapsed, -:-- left"


def test_the_clock_stops_at_the_last_answer() -> None:
    count = running()
    count.ended = 1010.0
    assert count.rate(5000.0) == 90.0


def test_times_are_written_as_on_a_clock() -> None:
    assert [clock_time(s) for s in (0, 59.6, 3599, 3661, None)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:01:01",
        "-:--",
    ]


def test_without_a_terminal_there_is_a_line_every_few_seconds() -> None:
    stream = io.StringIO()
    lines = view(stream, 10)
    assert isinstance(lines, Lines)
    for now in (1020.0, 1021.0, 1024.9, 1025.0):
        lines.show(running(), now)
    lines.close()
    first, second = stream.getvalue().splitlines()
    assert first.startswith("6/10 (60%): 45 tokens/s")
    assert second.startswith("6/10 (60%): 36 tokens/s")


def test_a_line_is_not_said_twice() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    for now in (0.0, 5.0, 10.0):
        lines.show(Count(10), now)
    assert stream.getvalue() == "0/10 (0%): starting\n"


def test_a_terminal_gets_a_bar() -> None:
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=100), 10)
    bar.show(running(), 1020.0)
    bar.close()
    assert "6/10" in stream.getvalue()
    assert "45 tokens/s" in stream.getvalue()
    assert "0:20 left" in stream.getvalue()
