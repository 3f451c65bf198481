"""What a release's service accounts may do."""

import re

from tests.e2e.release import Release

_LINE = re.compile(r"(\S*)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]")


def rights(release: Release, account: str) -> set[str]:
    """What an account may do that not every account may: `get pods`, `get secrets/name`."""
    user = f"system:serviceaccount:{release.namespace}:{account}"
    return parsed(release.kubectl("auth", "can-i", "--list", f"--as={user}", "--no-headers"))


def parsed(said: str) -> set[str]:
    """The rights in what `kubectl auth can-i --list` says.

    Every account may ask what it may do, and read public addresses such as /healthz.
    """
    found = set()
    for line in said.splitlines():
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            raise ValueError(f"no line of `kubectl auth can-i --list`: {line!r}")
        resource, addresses, names, verbs = match.groups()
        if resource.startswith("self") or (not resource and addresses):
            continue
        what = f"{resource}/{names}" if names else resource
        found |= {f"{verb} {what}" for verb in verbs.split()}
    return found
