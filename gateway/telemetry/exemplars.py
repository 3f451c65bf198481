"""Exemplars: of each bucket of a histogram the last recorded trace that was counted there.

One is six words on a worker's sheet, which the parent may read while they are written. The last
word is a checksum of the others, by which a reader knows that they belong together; where they
don't it shows none, until the next scrape.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from gateway.telemetry.trace import Trace

SUFFIX = "_exemplar"
"""Suffix of the cell of a bucket's exemplar."""
WORDS = 6
"""Its width on a sheet: trace id (two words), span id, value, time and check."""

_FIELDS = struct.Struct("=16s8sdd")
_CHECK = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A value that was counted, the trace in which it was, and when (Unix time in seconds)."""

    trace: str
    span: str
    value: float
    at: float


def of(trace: Trace, value: float, at: float) -> Exemplar:
    """A value that was counted in `trace`."""
    return Exemplar(trace.id, trace.span, value, at)


def packed(exemplar: Exemplar) -> bytes:
    """As it lies on a sheet."""
    fields = _FIELDS.pack(
        bytes.fromhex(exemplar.trace), bytes.fromhex(exemplar.span), exemplar.value, exemplar.at
    )
    return fields + _CHECK.pack(crc32(fields))


def unpacked(words: bytes) -> Exemplar | None:
    """The one that lies there; None if there is none, or one that is being written."""
    fields = words[: _FIELDS.size]
    if _CHECK.pack(crc32(fields)) != words[_FIELDS.size :]:
        return None
    trace, span, value, at = _FIELDS.unpack(fields)
    return Exemplar(trace.hex(), span.hex(), value, at)


def text(exemplar: Exemplar) -> str:
    """What OpenMetrics has behind a bucket's value."""
    labels = f'trace_id="{exemplar.trace}",span_id="{exemplar.span}"'
    return f" # {{{labels}}} {exemplar.value!r} {exemplar.at:.3f}"
