"""What a user asks, and how the user behaves meanwhile."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.client.call import Said

OK = frozenset({200})


@dataclass(frozen=True)
class Ask:
    """One call to come.

    `body` has no model: that is the target's. `right` judges what was said (None: it can't be
    judged). `expected`: statuses that this user provokes, and takes for a good answer.
    `leaves_after`: events with text after which the user hangs up. `bytes_per_s`: how fast the
    user reads, if not as fast as possible.
    `pause_s`: how long the user thinks before asking.
    """

    body: dict[str, Any]
    path: str = "/chat/completions"
    right: Callable[[Said], bool | None] | None = None
    expected: frozenset[int] = OK
    leaves_after: int | None = None
    bytes_per_s: float | None = None
    pause_s: float = 0.0

    @property
    def stream(self) -> bool:
        """Whether the answer comes token by token."""
        return bool(self.body.get("stream"))

    @property
    def kept(self) -> bool:
        """Whether its connection may serve other calls too."""
        return self.leaves_after is None and self.bytes_per_s is None


@dataclass(frozen=True)
class Target:
    """An OpenAI-compatible server; `keys` are those of kinds of users that have their own."""

    url: str  # ends in /v1
    model: str
    key: str = field(default="", repr=False)
    keys: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{self.url!r} is no address: give http://HOST:PORT/v1")

    @property
    def host(self) -> str:
        """A name or an address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The scheme's, if the URL names none."""
        return urlsplit(self.url).port or (443 if self.secure else 80)

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.url.startswith("https")

    def tls(self) -> ssl.SSLContext | None:
        """With the system's authorities, where TLS is spoken."""
        return ssl.create_default_context() if self.secure else None

    def request(self, kind: str, ask: Ask) -> bytes:
        """The whole HTTP request."""
        parts = urlsplit(self.url)
        body = {"model": self.model, **ask.body}
        if ask.stream:
            body["stream_options"] = {"include_usage": True}
        data = json.dumps(body, separators=(",", ":")).encode()
        lines = [
            f"POST {parts.path.rstrip('/')}{ask.path} HTTP/1.1",
            f"host: {parts.netloc.rpartition('@')[2]}",
            "content-type: application/json",
            "accept-encoding: identity",
            f"content-length: {len(data)}",
        ]
        key = self.keys.get(kind, self.key)
        if key:
            lines.append(f"authorization: Bearer {key}")
        return "\r\n".join((*lines, "", "")).encode() + data
