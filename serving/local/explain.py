"""An engine's or Ray's failure in one sentence that says what to do."""

import re

from serving.local.causes import CAUSES

LONGEST = 400
# Characters that are looked at: a failure's reason is at its end, and a log can be long.
LOOKED_AT = 100_000

# How vLLM's engine core begins a line of its log, and Ray a line that it passes on.
_LOG_PREFIX = re.compile(r"^.*\((?:EngineCore|Worker)[^)]*\) ERROR [^\]]*\] ?")


def says_look_above(sentence: str) -> bool:
    """Tell whether a failure doesn't say why: the engine core's own reason may be in the log."""
    return any(
        words in sentence
        for words in ("See root cause above", "See stack trace (above)", "engine died or hangs")
    )


def root_cause(log: str) -> str | None:
    """Return the sentence for the last failure of an engine core in a log, or None without one."""
    lines = [_LOG_PREFIX.sub("", line) for line in log.splitlines() if _LOG_PREFIX.match(line)]
    return explain("\n".join(lines)) if lines else None


def explain(text: str) -> str:
    """Return one sentence for a failure's text: a known cause, or the text's own last error line.

    A traceback's last line that looks like "SomethingError: message" is what its author meant to
    say; frames and notes around it are left to the log.
    """
    text = text[-LOOKED_AT:]
    for cause in CAUSES:
        sentence = cause.tell(text)
        if sentence is not None:
            return " ".join(sentence.split())[:LONGEST]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"^[\w.]*(Error|Exception)\b.*:", line)]
    best = (errors or lines or ["no reason was given"])[-1]
    return best[:LONGEST]
