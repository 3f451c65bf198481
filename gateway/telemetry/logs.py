"""Structured logs: one JSON object a line on standard error.

No answer and no key is ever passed to a logger, and no prompt unless `telemetry.log_prompts` says
so. What may quote them is left out: the text of exceptions (a fault is logged as its type and the
code lines it came through) and what libraries fill into their messages.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

_QUOTES = re.compile(r"[^A-Za-z0-9 ,.;_-]")

EVENTS = "gateway"
"""Name of the gateway's logger."""


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON. Fields come from `extra={"fields": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        ours = record.name == EVENTS
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage() if ours else _sentence(record),
            "process": record.process,
        }
        if not ours:
            line["logger"] = record.name
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line["fault"] = fault(record.exc_info[1])
        return orjson.dumps(line, default=str).decode()


class _Events(logging.Logger):
    """A logger that doesn't look where it was called from: that costs more than the line."""

    def findCaller(
        self, stack_info: bool = False, stacklevel: int = 1
    ) -> tuple[str, int, str, str | None]:
        return "", 0, "", None


def configure(level: str) -> logging.Logger:
    """Send all logs of this process to standard error as JSON; returns the gateway's logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    # Of what every record would be filled with nothing is told.
    logging.logThreads = logging.logMultiprocessing = False
    logging.setLoggerClass(_Events)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logger = logging.getLogger(EVENTS)
    logging.setLoggerClass(logging.Logger)
    logger.setLevel(level.upper())
    return logger


def _sentence(record: logging.LogRecord) -> str:
    """What a library's message says before it quotes something."""
    return _QUOTES.split(str(record.msg), maxsplit=1)[0][:200]


def fault(error: BaseException) -> dict[str, Any]:
    """An exception without its text: its type, and where it came through."""
    return {
        "type": type(error).__name__,
        "at": [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ],
    }
