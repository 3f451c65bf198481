"""Asks a Kubernetes API server with the official client; answers are plain JSON values."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

from serving.errors import ServingError

PAGE = 500
TIMEOUT_S = 15.0
# Kubernetes sets it in every pod.
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
JSON = "application/json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Asks for names and labels of objects without their contents."""


class CouldNotLook(ServingError):
    """The cluster can't be reached at all; the message says how to mend that."""


class Refused(Exception):
    """One question was not answered."""

    def __init__(self, status: int, reason: str) -> None:
        """`status` is HTTP's, 0 where the server was not reached."""
        super().__init__(reason)
        self.status = status


class Asks(Protocol):
    """What a probe needs of a client."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Any = None,
        accept: str = JSON,
    ) -> Any:
        """The answer's JSON. Raises Refused."""


class Client:
    """A connection to one cluster."""

    def __init__(self, api: Any, name: str) -> None:
        """`api` is a kubernetes.client.ApiClient."""
        self._api = api
        self.name = name

    @classmethod
    def connect(cls, kubeconfig: str | None = None, context: str | None = None) -> Self:
        """Read the configuration as kubectl does, or that of a pod inside the cluster.

        Raises:
            CouldNotLook: the client is not installed, or there is no configuration.
        """
        try:
            from kubernetes import client, config
        except ImportError as error:
            mend = "install the extra: pip install 'r1[kubernetes]'"
            raise CouldNotLook(f"the Kubernetes client is not installed; {mend}") from error
        settings = client.Configuration()
        # A dead server is told at once instead of after urllib3's three attempts.
        settings.retries = False
        try:
            given = kubeconfig or context or os.environ.get("KUBECONFIG")
            if not given and IN_CLUSTER in os.environ:
                config.load_incluster_config(client_configuration=settings)
            else:
                config.load_kube_config(
                    kubeconfig, context, client_configuration=settings, persist_config=False
                )
        except (config.ConfigException, OSError, ValueError) as error:
            raise CouldNotLook(
                f"no cluster is configured ({_line(error)}); set KUBECONFIG, or give --kubeconfig "
                "and --context"
            ) from error
        return cls(client.ApiClient(settings), context or str(settings.host))

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Any = None,
        accept: str = JSON,
    ) -> Any:
        """The answer's JSON.

        Raises:
            Refused: no answer, or one that refuses.
        """
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": accept, "Content-Type": JSON}
        try:
            request = self._api.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            response = self._api.call_api(*request, _request_timeout=TIMEOUT_S)
            content = response.read()
        except (ApiException, HTTPError, OSError) as error:
            raise Refused(0, f"the API server doesn't answer: {_line(error)}") from error
        try:
            document = json.loads(content)
        except ValueError as error:
            raise Refused(response.status, "the API server's answer is no JSON") from error
        if response.status >= 400:
            said = document.get("message") if isinstance(document, dict) else None
            raise Refused(response.status, str(said or response.reason))
        return document


def items(client: Asks, path: str, *, accept: str = JSON, **query: str) -> Iterator[Any]:
    """All objects of a list, page by page.

    Raises:
        Refused: a page is.
    """
    more = ""
    while True:
        asked = {**query, "limit": str(PAGE), **({"continue": more} if more else {})}
        document = client.ask("GET", path, query=asked, accept=accept)
        yield from document.get("items") or []
        more = (document.get("metadata") or {}).get("continue") or ""
        if not more:
            return


def _line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
