"""`python -m r1.kubernetes.fill_secret NAMESPACE NAME`: fill a release's Secret with what it lacks.

It runs in a pod whose account may get and patch that one Secret. It changes nothing that is there,
so it may run as often as it likes, also beside another one.
"""

import argparse
import http.client
import json
import os
import secrets
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1.kubernetes.secret import FirstKey, missing

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_S = 15.0
_CONFLICT = 409

Ask = Callable[[str, dict[str, Any] | None], dict[str, Any]]
"""Asks for a Secret: (GET or PATCH, a JSON merge patch) -> the object. Raises HTTPError."""


def fill(
    ask: Ask, first: FirstKey, choose: Callable[[str], str] = secrets.choice, tries: int = 5
) -> list[str]:
    """Fill the Secret; return the names of the entries that were made.

    The patch names the version that was read: if somebody else wrote meanwhile it is refused, and
    all is looked at anew.

    Raises:
        urllib.error.HTTPError: the API refuses.
    """
    while True:
        found = ask("GET", None)
        made = missing(found.get("data") or {}, first, choose)
        if not made:
            return []
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        tries -= 1
        try:
            ask("PATCH", {"metadata": version, "data": made})
        except urllib.error.HTTPError as error:
            if error.code != _CONFLICT or tries <= 0:
                raise
        else:
            return sorted(made)


def in_cluster(namespace: str, name: str) -> Ask:
    """The way to one Secret with the pod's own account."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    host = f"[{host}]" if ":" in host else host
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    url = f"https://{host}:{port}/api/v1/namespaces/{namespace}/secrets/{name}"
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))

    def ask(method: str, patch: dict[str, Any] | None) -> dict[str, Any]:
        request = urllib.request.Request(
            url,
            None if patch is None else json.dumps(patch).encode(),
            {
                "Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}",
                "Content-Type": "application/merge-patch+json",
            },
            method=method,
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=trusted) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found

    return ask


def main() -> int:
    """Fill it; the exit status. A failure is tried again by the Job, in another pod."""
    parser = argparse.ArgumentParser(prog="r1.kubernetes.fill_secret", description=__doc__)
    parser.add_argument("namespace")
    parser.add_argument("name")
    parser.add_argument("--first-tenant", default="default", help="tenant of the first API key")
    parser.add_argument("--first-name", default="first", help="its name")
    given = parser.parse_args()
    try:
        made = fill(
            in_cluster(given.namespace, given.name), FirstKey(given.first_tenant, given.first_name)
        )
    except (OSError, http.client.HTTPException) as error:
        # An HTTPError is an OSError, and its text holds no body.
        print(f"Secret {given.name} can't be filled: {error}", file=sys.stderr)
        return 1
    print(f"Secret {given.name}: made {', '.join(made)}" if made else "nothing was missing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
