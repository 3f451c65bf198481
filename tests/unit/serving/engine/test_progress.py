"""When an engine counts as hanging."""

from serving.engine.progress import Progress, Verdict

WELL, ASK, STALLED = Verdict.WELL, Verdict.ASK, Verdict.STALLED


def watch() -> Progress:
    return Progress(stall_s=60, quiet_s=15, stepped=0.0)


def test_an_engine_that_steps_is_well_however_long_its_requests_take() -> None:
    progress = watch()
    assert {progress.look(second, second, 3) for second in range(1, 10_000, 50)} == {WELL}


def test_requests_without_a_step_are_a_stall() -> None:
    progress = watch()
    progress.look(1, 1, 1)
    assert progress.look(2, 1, 1) is WELL
    assert progress.look(62, 1, 1) is WELL
    assert progress.look(62.5, 1, 1) is STALLED


def test_the_time_without_requests_is_no_stall() -> None:
    progress = watch()
    progress.look(1, 1, 0)
    assert progress.look(1000, 1, 1) is WELL


def test_a_quiet_engine_is_asked_and_its_silence_is_a_stall() -> None:
    progress = watch()
    assert progress.look(14, 0, 0) is WELL
    assert progress.look(15, 0, 0) is ASK
    # The question itself is a request now.
    assert progress.look(16, 0, 1) is WELL
    assert progress.look(77, 0, 1) is STALLED


def test_an_answer_makes_it_well_for_a_while() -> None:
    progress = watch()
    assert progress.look(15, 0, 0) is ASK
    assert progress.look(16, 1, 0) is WELL
    assert progress.look(30, 1, 0) is WELL
    assert progress.look(31, 1, 0) is ASK


def test_callers_who_leave_don_t_hide_a_stall() -> None:
    progress = watch()
    progress.look(1, 5, 2)
    progress.look(2, 5, 2)
    # They gave up: it is asked at once whether it was the engine or them.
    assert progress.look(20, 5, 0) is ASK
    assert progress.look(21, 5, 1) is WELL
    assert progress.look(63, 5, 1) is STALLED


def test_a_stalled_engine_that_goes_on_is_well_again() -> None:
    progress = watch()
    progress.look(1, 0, 1)
    assert progress.look(62, 0, 1) is STALLED
    assert progress.look(63, 1, 1) is WELL
    assert progress.look(120, 1, 1) is WELL
