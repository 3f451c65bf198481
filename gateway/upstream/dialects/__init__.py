"""Dialects: how a kind of model server is asked, and how its answers are read. Pure.

A dialect is a small object without state. The attempt does the I/O and asks it for each request's
path and body, and for what turns the answer's bytes into what the caller gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import UpstreamUnfit
from gateway.model_settings import Defaults
from gateway.protocol.request import OPENAI_CHUNKS, Api, Asked
from gateway.protocol.stream import StreamTranslator
from gateway.protocol.usage import Usage


class Splitter(Protocol):
    """Cuts the bytes of a stream, in pieces of any size, into the data of its events."""

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of each event that `piece` completes. Raises sse.EventTooLarge and
        sse.NotAnEvent."""

    @property
    def pending(self) -> bool:
        """True while part of an event is held."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A call that tells of a model: a GET, or a POST where there is a body."""

    path: str
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was learned of a model: its context in tokens, and the id of `</think>`."""

    context_length: int | None = None
    think_end: int | None = None


def only_chunks(asked: Asked) -> None:
    """For servers that have chats and completions alone. Raises UpstreamUnfit."""
    if asked.api not in OPENAI_CHUNKS:
        raise UpstreamUnfit("The model server does not have this API.")
    if asked.body.get("continue_final_message"):
        raise UpstreamUnfit("The model server can't go on from a prefix.", param="messages")
    if asked.body.get("max_reasoning_tokens") is not None:
        raise UpstreamUnfit(
            "'max_reasoning_tokens' is not possible at the model server that is left for this "
            "model: it can't end the thinking of an answer.",
            param="max_reasoning_tokens",
        )


class Dialect(Protocol):
    """One way to speak with a model server."""

    name: str
    health_path: str
    """A GET below the upstream's URL that tells whether it is well."""
    rarely: int
    """Its health is looked at so many times less often: each look costs somebody else."""
    tokenizes: bool
    """It has vLLM's /tokenize: prompts can be counted."""

    def base(self, url: str) -> str:
        """The URL that all paths are below, from the configured one."""

    def well(self, status: int, data: bytes, served: str) -> bool:
        """Whether the answer at `health_path` is that of one who can serve the model."""

    def lookup(self, served: str) -> Lookup | None:
        """What to ask to learn facts of the model, if anything."""

    def facts(self, answer: dict[str, Any]) -> Facts:
        """The facts in the answer to `lookup`."""

    continues: bool
    """It gives and takes token ids, so that an answer can be continued from them."""

    def path(self, api: Api) -> str:
        """Where an API is, below the upstream's URL."""

    def body(self, asked: Asked, served: str, defaults: Defaults) -> dict[str, Any]:
        """The request's body, a new object; `served` is the model's name there.

        Raises UpstreamUnfit where this kind of server can't do what is asked.
        """

    def splitter(self) -> Splitter:
        """For one stream."""

    def stream(self, asked: Asked, model: str, think_end: int | None) -> StreamTranslator:
        """For one stream; `model` is the id that answers carry."""

    def whole(
        self, data: bytes, asked: Asked, model: str, think_end: int | None
    ) -> tuple[bytes, Usage]:
        """A whole (not streamed) answer. Raises UpstreamFailed if it isn't one."""
