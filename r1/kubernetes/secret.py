"""What stands in a release's Secret, and what of it is still to be made. Pure but for `choose`."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.auth.keys import make_key

API_KEY = "api-key"
BOOTSTRAP_KEYS = "bootstrap-keys"
# 256 random bits as hexadecimal digits, which mean nothing to a URL or to a Redis configuration.
RANDOM = (
    "admin-token",
    "engine-key",
    "pepper",
    "ray-redis-password",
    "ray-token",
    "redis-password",
)
_DIGITS = 64


@dataclass(frozen=True)
class FirstKey:
    """Whose the first API key is."""

    tenant: str
    name: str


def missing(
    data: Mapping[str, str], first: FirstKey, choose: Callable[[str], str]
) -> dict[str, str]:
    """The entries that a Secret lacks, in base64 as the Kubernetes API wants them.

    What is there stays as it is: another pepper would end all API keys, another password would
    lock everybody out of a Redis that knows the old one. An API key that was taken out after it
    was read is not made again.

    Args:
        data: the Secret's `data`, in base64.
        first: whose the first API key is.
        choose: picks one character of a string (secrets.choice).
    """
    made = {
        name: "".join(choose("0123456789abcdef") for _ in range(_DIGITS))
        for name in RANDOM
        if not data.get(name)
    }
    if not data.get(BOOTSTRAP_KEYS):
        key = _plain(data[API_KEY]) if data.get(API_KEY) else make_key(choose)
        declared = {"name": first.name, "tenant": first.tenant, "key": key}
        # JSON is YAML, and safe for any name.
        made |= {API_KEY: key, BOOTSTRAP_KEYS: json.dumps({"keys": [declared]})}
    return {name: base64.b64encode(text.encode()).decode() for name, text in made.items()}


def _plain(value: str) -> str:
    return base64.b64decode(value).decode().strip()
