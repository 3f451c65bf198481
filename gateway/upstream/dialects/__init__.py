"""Dialects: how a kind of model server is asked, and how its answers are read. Pure.

A dialect is a small object without state. The attempt does the I/O and asks it for each request's
path and body, and for what turns the answer's bytes into what the caller gets.
"""

from __future__ import annotations

from typing import Any, Protocol

from gateway.protocol.request import Api, Asked
from gateway.protocol.stream import StreamTranslator
from gateway.protocol.usage import Usage
from gateway.settings import Defaults


class Splitter(Protocol):
    """Cuts the bytes of a stream, in pieces of any size, into the data of its events."""

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of each event that `piece` completes. Raises sse.EventTooLarge."""


class Dialect(Protocol):
    """One way to speak with a model server."""

    name: str
    health_path: str
    """A GET below the upstream's URL that gives 200 while it is well."""
    tokenizes: bool
    """It has vLLM's /tokenize: prompts can be counted, and facts of the model learned."""

    continues: bool
    """It gives and takes token ids, so that an answer can be continued from them."""

    def path(self, api: Api) -> str:
        """Where an API is, below the upstream's URL."""

    def body(self, asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
        """The request's body, a new object; `served` is the model's name there."""

    def splitter(self) -> Splitter:
        """For one stream."""

    def stream(self, asked: Asked, model: str, think_end: int | None) -> StreamTranslator:
        """For one stream; `model` is the id that answers carry."""

    def whole(
        self, data: bytes, asked: Asked, model: str, think_end: int | None
    ) -> tuple[bytes, Usage]:
        """A whole (not streamed) answer. Raises UpstreamFailed if it isn't one."""
