"""An engine's or Ray's failure in one sentence that says what to do."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """A pattern in a failure's text and the sentence for it."""

    pattern: re.Pattern[str]
    sentence: str


def _cause(pattern: str, sentence: str) -> Cause:
    return Cause(re.compile(pattern, re.IGNORECASE), sentence)


# The first that matches wins: the more special ones come first.
CAUSES = (
    _cause(
        r"No such file or directory: '?(g\+\+|gcc|c\+\+|clang)|InvalidCxxCompiler|"
        r"No working C\+\+ compiler",
        "no working C++ compiler was found, and the engine compiles kernels at its first start: "
        "install one (for instance `apt-get install g++`)",
    ),
    _cause(
        r"out of memory|Cannot allocate memory|bad_alloc|MemoryError|OutOfMemory|"
        r"node was low on memory|Not enough memory|No available memory for the cache blocks|"
        r"less than desired (GPU|CPU) memory",
        "the machine has too little free memory for the model and its KV cache: "
        "end other programs, or serve fewer models (--models)",
    ),
    _cause(
        r"No space left on device",
        "the disk is full: free some space and start again",
    ),
    _cause(
        r"Worker proc \S+ died unexpectedly \(exit code: -11\)",
        "a worker of its engine was killed by a segmentation fault",
    ),
    _cause(
        r"replica's health check failed",
        "its engine died or hangs; Ray Serve starts another",
    ),
    _cause(
        r"Unknown engine argument: (?P<name>\w+)",
        "the engine has no argument {name}: check the overrides",
    ),
    _cause(
        r"There is no module or parameter named '?(?P<name>[\w.]+)|"
        r"size mismatch for (?P<other>[\w.]+)",
        "the weights don't fit the model's configuration: was the weights folder changed?",
    ),
)


# How vLLM's engine core begins a line of its log, and Ray a line that it passes on.
_LOG_PREFIX = re.compile(r"^.*\((?:EngineCore|Worker)[^)]*\) ERROR [^\]]*\] ?")


def says_look_above(sentence: str) -> bool:
    """Tell whether a failure only points at a log: the engine core's own reason is there."""
    return "See root cause above" in sentence or "See stack trace (above)" in sentence


def root_cause(log: str) -> str | None:
    """Return the sentence for the last failure of an engine core in a log, or None without one."""
    lines = [_LOG_PREFIX.sub("", line) for line in log.splitlines() if _LOG_PREFIX.match(line)]
    return explain("\n".join(lines)) if lines else None


def explain(text: str) -> str:
    """Return one sentence for a failure's text: a known cause, or the text's own last error line.

    A traceback's last line that looks like "SomethingError: message" is what its author meant to
    say; frames and notes around it are left to the log.
    """
    for cause in CAUSES:
        found = cause.pattern.search(text)
        if found:
            named = {name: value for name, value in found.groupdict().items() if value}
            try:
                return cause.sentence.format(**named)
            except KeyError:
                return cause.sentence
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"^[\w.]*(Error|Exception)\b.*:", line)]
    best = (errors or lines or ["no reason was given"])[-1]
    return best[:400]
