"""A small client of the API for the command line: it starts in milliseconds."""

import http.client
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from r1.stack.find import find

READ_TIMEOUT_S = 600.0


class CallFailed(RuntimeError):
    """The API answered with an error, or not at all; the message is for the user."""


@dataclass(frozen=True)
class Endpoint:
    """Where the API is and the key for it."""

    url: str
    key: str

    @classmethod
    def choose(cls, base: int | None) -> "Endpoint":
        """Return the endpoint that the environment names, else the running stack's.

        Args:
            base: a port base given on the command line; it wins over the environment.

        Raises:
            NoStack: neither is there.
        """
        url, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
        if base is None and url and key:
            return cls(url.rstrip("/"), key)
        home, status = find(base if base is not None else default_base())
        return cls(f"http://127.0.0.1:{status.ports['api']}/v1", home.user_key.read_text())


def default_base() -> int:
    """Return the port base that the environment names, else the documented one."""
    from r1.stack.find import BASE_VARIABLE
    from r1.stack.ports import DEFAULT_BASE

    return int(os.environ.get(BASE_VARIABLE) or DEFAULT_BASE)


def request(
    endpoint: Endpoint, method: str, path: str, body: dict[str, Any] | None = None
) -> http.client.HTTPResponse:
    """Send a request and return the answer, its body unread.

    Raises:
        CallFailed: nobody answers, or the answer is an error.
    """
    parts = urlsplit(endpoint.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=READ_TIMEOUT_S)
    headers = {
        "Authorization": f"Bearer {endpoint.key}",
        "Content-Type": "application/json",
        # One request a connection: its socket is closed with the answer.
        "Connection": "close",
    }
    try:
        connection.request(
            method,
            parts.path + path,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
        )
        response = connection.getresponse()
    except OSError as error:
        raise CallFailed(f"{endpoint.url} doesn't answer: {error}") from error
    if response.status != 200:
        raise CallFailed(error_message(response.read(), response.status))
    return response


def error_message(body: bytes, status: int) -> str:
    """Return the message of an OpenAI error body, with its status."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace")[:300]
    return f"status {status}: {message}"


def events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Return the events of a stream until `data: [DONE]`.

    Raises:
        CallFailed: an error came in the stream, or it ended without `[DONE]`.
    """
    try:
        for line in response:
            if not line.startswith(b"data: "):
                continue
            data = line[len(b"data: ") :].strip()
            if data == b"[DONE]":
                return
            event = json.loads(data)
            if "error" in event:
                raise CallFailed(str(event["error"].get("message", event["error"])))
            yield event
    except (OSError, http.client.HTTPException) as error:
        raise CallFailed(f"the stream broke off: {error}") from error
    raise CallFailed("the stream broke off: the answer above isn't whole")
