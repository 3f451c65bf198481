"""Which model a name means."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import ModelNotFound
from gateway.upstream.pool import Model


class Router:
    """Finds models by id or alias."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = tuple(models)
        self._by_name = {
            name: model for model in models for name in (model.id, *model.settings.aliases)
        }

    def find(self, name: str) -> Model:
        """The model that `name` means. Raises ModelNotFound."""
        model = self._by_name.get(name)
        if model is None:
            raise ModelNotFound(
                "This model does not exist here. GET /v1/models lists those that do.",
                param="model",
            )
        return model
