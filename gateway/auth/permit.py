"""Whether a key may do what it asks for. Pure."""

from __future__ import annotations

from gateway.auth.keys import KeyRecord
from gateway.auth.terms import Scope
from gateway.errors import Forbidden
from gateway.model_settings import ModelSettings


def require_scope(key: KeyRecord, scope: Scope) -> None:
    """Raise Forbidden unless the key has the scope."""
    if scope not in key.terms.scopes:
        raise Forbidden(
            f"This key lacks the scope '{scope}'; use one that has it, or have a new one made.",
            code="missing_scope",
        )


def may_use(key: KeyRecord, model: ModelSettings) -> bool:
    """True if the key may use the model: by its id, or by one of its aliases."""
    allowed = key.terms.models
    return not allowed or model.id in allowed or any(name in allowed for name in model.aliases)


def permit(key: KeyRecord, model: ModelSettings) -> None:
    """Raise Forbidden unless the key may ask this model."""
    require_scope(key, "inference")
    if not may_use(key, model):
        raise Forbidden(
            f"This key may not use the model {model.id!r}. GET /v1/models lists those that it may.",
            param="model",
            code="model_not_allowed",
        )
