import pytest

from serving.local.explain import explain

TRACEBACK = """\
The deployment failed to start 1 times in a row.
Traceback (most recent call last):
  File "engine.py", line 3, in start
    raise ValueError("x")
ValueError: No common block size for 16.
"""


def test_the_last_error_line_of_a_traceback_is_its_sentence() -> None:
    assert explain(TRACEBACK) == "ValueError: No common block size for 16."


@pytest.mark.parametrize(
    "text",
    [
        "RuntimeError: [enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: "
        "Cannot allocate memory",
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory",
        "std::bad_alloc",
        "ValueError: No available memory for the cache blocks.",
    ],
)
def test_too_little_memory_says_what_to_do(text: str) -> None:
    assert "too little free memory" in explain(text)
    assert "--models" in explain(text)


def test_a_missing_compiler_is_named() -> None:
    text = "FileNotFoundError: [Errno 2] No such file or directory: 'g++'"
    assert "apt-get install g++" in explain(text)


def test_a_wrong_argument_is_named() -> None:
    text = "Traceback\nValueError: Unknown engine argument: max_num_sqs"
    assert "no argument max_num_sqs" in explain(text)


def test_a_full_disk_is_named() -> None:
    assert "disk is full" in explain("OSError: [Errno 28] No space left on device")


def test_a_failure_without_a_reason_says_so() -> None:
    assert explain("  \n ") == "no reason was given"


def test_a_sentence_stays_short() -> None:
    assert len(explain("ValueError: " + "x" * 5000)) <= 400
