"""Asks an HTTP server that talks JSON and wants a bearer token: Ray's head, Kubernetes' API."""

import json
import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

JSON = "application/json"
MERGE = "application/merge-patch+json"
TIMEOUT_S = 15.0
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SAID = 500


class Unanswered(Exception):
    """A server gave no answer, or one that refuses."""

    def __init__(self, status: int, reason: str) -> None:
        """`status` is HTTP's, 0 where the server was not reached."""
        super().__init__(reason)
        self.status = status


class Asks(Protocol):
    """What the controller needs of a server."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Any = None,
        kind: str = JSON,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """The answer's JSON, None if it has no body. Raises Unanswered."""


class Server:
    """One server, by its base URL."""

    def __init__(self, url: str, token: Callable[[], str], authority: Path | None = None) -> None:
        """Args: `token` is asked each time, since tokens are renewed; `authority` signed TLS."""
        self.url = url.rstrip("/")
        self._token = token
        self._tls = None if authority is None else ssl.create_default_context(cafile=authority)

    @classmethod
    def kubernetes(cls, folder: Path = SERVICE_ACCOUNT) -> Self:
        """The API server of the cluster that this pod is in, by the pod's own account.

        Raises:
            KeyError: this is no pod.
        """
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        host = f"[{host}]" if ":" in host else host
        token = folder / "token"
        return cls(f"https://{host}:{port}", lambda: token.read_text("ascii"), folder / "ca.crt")

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Any = None,
        kind: str = JSON,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """The answer's JSON, None if it has no body.

        Raises:
            Unanswered: no answer, or one that refuses.
        """
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {
            "Authorization": f"Bearer {self._token().strip()}",
            "Accept": JSON,
            "Content-Type": kind,
        }
        content = None if body is None else json.dumps(body).encode()
        request = Request(url, content, headers, method=method)  # noqa: S310
        try:
            with urlopen(request, timeout=timeout_s, context=self._tls) as answer:  # noqa: S310
                text = answer.read()
            return json.loads(text) if text.strip() else None
        except HTTPError as error:
            with error:
                said = error.read(_SAID).decode(errors="replace").strip()
            raise Unanswered(error.code, said or str(error.reason)) from error
        except (OSError, ValueError) as error:
            raise Unanswered(0, str(error) or type(error).__name__) from error
