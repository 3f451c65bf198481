"""Structured logs: one JSON object a line on standard error.

No prompt, no answer and no key is ever passed to a logger, and text of exceptions, which may
quote them, is left out: a fault is logged as its type and the code lines it came through.
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

EVENTS = "gateway"
"""Name of the gateway's logger."""


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON. Fields come from `extra={"fields": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
        }
        if record.name != EVENTS:
            line["logger"] = record.name
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line["fault"] = fault(record.exc_info[1])
        return orjson.dumps(line, default=str).decode()


def configure(level: str) -> logging.Logger:
    """Send all logs of this process to standard error as JSON; returns the gateway's logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logger = logging.getLogger(EVENTS)
    logger.setLevel(level.upper())
    return logger


def fault(error: BaseException) -> dict[str, Any]:
    """An exception without its text: its type, and where it came through."""
    return {
        "type": type(error).__name__,
        "at": [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ],
    }
