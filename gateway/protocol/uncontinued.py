"""Streams that end where their model server does: their APIs tell no token ids to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.protocol.continuation import Progress
from gateway.protocol.stream import Piece


class Uncontinued:
    """What a translator lacks whose stream can't be continued at another server."""

    progress: Progress | None = None

    def resumed(
        self,
        ids: Sequence[int],
        reasoning: str | None,
        content: str | None,
        finish: str | None,
        stop: Any,
    ) -> Piece:
        """Never called: `progress` is not kept."""
        raise RuntimeError("this stream can't be continued")

    def closing(self, usage: dict[str, Any]) -> bytes:
        """Never called: `progress` is not kept."""
        raise RuntimeError("this stream can't be continued")
