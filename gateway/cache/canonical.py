"""Where an answer lies in the cache: by everything that can change it. Pure.

A place is `r1:cache:{model/tenant/digest}`: the model's id, a hash of the tenant (or `shared`) and
a hash of the rest, all under a secret. So one can purge by model or tenant, no text of a request
can be read or guessed from a key, and a tenant's keys can't be made by another one. The braces
keep all keys of a place in one slot of a Redis Cluster.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import Any

import orjson

from gateway.model_settings import ModelSettings
from gateway.protocol.request import Api

PREFIX = "r1:cache:"
_SHARED = "shared"

# What decides where and how patiently a model is asked, but not what it answers. All else in its
# settings counts, also what is added later: at worst an answer is made once more than needed.
_OPERATIONAL = {
    "aliases",
    "batching",
    "cache",
    "discovery",
    "discovery_key_file",
    "fallback_policy",
    "fallbacks",
    "hedge",
    "prices",
    "timeouts",
    "upstreams",
}


class Addresses:
    """Makes places, and what else is derived from the secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hmac.digest(secret, b"r1 answer cache", hashlib.sha256)
        self._known: dict[str, tuple[ModelSettings, bytes]] = {}
        # Each request has one of these.
        self.salt = lru_cache(maxsize=4096)(self._salt)

    def answer(
        self, model: ModelSettings, tenant: str, api: Api, body: dict[str, Any], variant: str = ""
    ) -> str:
        """The place of the answer to a request; `variant` is what headers add to it."""
        owner = self.owner(None if model.cache.shared else tenant)
        words = (self._facts(model), api.encode(), canonical(body), variant.encode())
        return f"{PREFIX}{{{model.id}/{owner}/{self._digest(b'answer', *words)}}}"

    def once(self, model: ModelSettings, tenant: str, key: str) -> str:
        """The place of the answer that belongs to a tenant's idempotency key."""
        return (
            f"{PREFIX}{{{model.id}/{self.owner(tenant)}/"
            f"{self._digest(b'once', tenant.encode(), key.encode())}}}"
        )

    def owner(self, tenant: str | None) -> str:
        """The part of a place that says whose it is; None: everyone's."""
        return _SHARED if tenant is None else self._digest(b"owner", tenant.encode())[:16]

    def _salt(self, tenant: str) -> str:
        """What keeps a tenant's blocks in the engine's prefix cache apart from others'."""
        return self._digest(b"salt", tenant.encode())[:32]

    def fingerprint(self, model: ModelSettings, api: Api, body: dict[str, Any]) -> str:
        """Tells one request's body from another."""
        return self._digest(b"body", model.id.encode(), api.encode(), canonical(body))

    def _facts(self, model: ModelSettings) -> bytes:
        """What `_facts` says, told once: settings don't change, but a model may be found anew."""
        known = self._known.get(model.id)
        if known is None or known[0] is not model:
            known = self._known[model.id] = (model, _facts(model))
        return known[1]

    def _digest(self, *words: bytes) -> str:
        # With its length each word is unmistakable: ("ab", "c") is not ("a", "bc").
        text = b"".join(len(word).to_bytes(8) + word for word in words)
        return hmac.digest(self._secret, text, hashlib.sha256).hex()[:48]


def pattern(model: str | None, owner: str | None) -> str:
    """Matches the places of a model, of an owner, of both; of everyone when both are None."""
    return f"{PREFIX}{{{model or '*'}/{owner or '*'}/*"


def model_of(key: str) -> str:
    """The model's id in a key of the cache."""
    return key[len(PREFIX) + 1 :].rsplit("/", 2)[0]


def canonical(body: dict[str, Any]) -> bytes:
    """A body in which only the order of its own fields doesn't count.

    Deeper down the order of fields stays: a chat template writes tools and schemas into the prompt
    as they come, so another order is another prompt. `model` is left out: its aliases mean the
    same, and the place has its id.
    """
    fields = sorted((name, value) for name, value in body.items() if name != "model")
    return orjson.dumps(fields)


def _facts(model: ModelSettings) -> bytes:
    settings = model.model_dump(mode="json", exclude=_OPERATIONAL)
    # An adapter is a name of its own at the model server.
    settings["served"] = sorted({each.model or model.id for each in model.upstreams})
    return orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)
