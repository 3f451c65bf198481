import pytest

from serving.local.explain import explain, root_cause, says_look_above

ENGINE_LOG = """\
(ModelServer pid=7) (EngineCore pid=8) INFO 11-22 16:59:55 [utils.py:306] Using KV cache layout.
(ModelServer pid=7) (Worker pid=9) ERROR 11-22 16:59:55 [w.py:55]   raise ValueError(
(ModelServer pid=7) (Worker pid=9) ERROR 11-22 16:59:55 [w.py:55] ValueError: No common block size.
(ModelServer pid=7) (Worker pid=9) ERROR 11-22 16:59:55 [w.py:55]
(ModelServer pid=7) RuntimeError: Engine core initialization failed. See root cause above.
"""


def test_the_engine_cores_own_reason_is_found_in_the_log() -> None:
    assert says_look_above(ENGINE_LOG)
    assert root_cause(ENGINE_LOG) == "ValueError: No common block size."
    assert root_cause("all is well") is None


def test_a_dead_engines_reason_is_looked_for_in_the_log() -> None:
    told = explain("A replica's health check failed. It will be UNHEALTHY.")
    assert says_look_above(told)
    prefix = "(ModelServer pid=7) (EngineCore pid=8) ERROR 11-22 16:59:55 [core.py:1376] "
    log = f"{prefix}EngineCore encountered a fatal error.\n{prefix}CUDA out of memory."
    assert "max_num_seqs" in str(root_cause(log))


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


def test_a_dead_engine_is_told_in_our_words() -> None:
    text = "A replica's health check failed. This deployment will be UNHEALTHY until it recovers."
    assert explain(text) == "its engine died or hangs; Ray Serve starts another"


def test_a_full_disk_is_named() -> None:
    assert "disk is full" in explain("OSError: [Errno 28] No space left on device")


def test_a_failure_without_a_reason_says_so() -> None:
    assert explain("  \n ") == "no reason was given"


def test_a_sentence_stays_short() -> None:
    assert len(explain("ValueError: " + "x" * 5000)) <= 400
