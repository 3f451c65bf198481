"""Which model a name means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.errors import ModelNotFound
from gateway.upstream.pool import Model


class Router:
    """Finds models by id or alias: the configured ones, and those that were discovered."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._configured = tuple(models)
        self._discovered: dict[str, tuple[Model, ...]] = {}
        self._index()

    def discovered(self, source: str, models: Sequence[Model]) -> None:
        """These are all models that `source` has now. Names that are taken stay whose they are."""
        self._discovered[source] = tuple(models)
        self._index()

    def _index(self) -> None:
        self._by_name: dict[str, Model] = {}
        self.models: tuple[Model, ...] = ()
        found = (model for each in self._discovered.values() for model in each)
        for model in (*self._configured, *found):
            if model.id in self._by_name:
                continue
            self.models = (*self.models, model)
            for name in (model.id, *model.settings.aliases):
                self._by_name.setdefault(name, model)

    def looked_around(self, sources: Iterable[str]) -> bool:
        """Whether all model servers, registries and `sources` of models were looked at once."""
        return all(source in self._discovered for source in sources) and all(
            (model.pool.replaced or model.settings.discovery != "registry")
            and all(each.looked_at or each.spare for each in model.upstreams)
            for model in self.models
        )

    def find(self, name: str) -> Model:
        """The model that `name` means. Raises ModelNotFound."""
        model = self._by_name.get(name)
        if model is None:
            raise ModelNotFound(
                "This model does not exist here. GET /v1/models lists those that do.",
                param="model",
            )
        return model
