"""The catalog: all models that r1 can serve, one YAML file each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from serving.catalog.model import Model
from serving.documents import read_document
from serving.errors import InvalidDocument, UnknownModel, nearest

SHIPPED = Path(__file__).resolve().parent / "models"


class Catalog:
    """Models by id and alias; names are compared without regard to case."""

    def __init__(self, models: tuple[Model, ...]) -> None:
        """Index the models.

        Raises:
            InvalidDocument: two models share an id or an alias.
        """
        self._models = models
        self._by_name: dict[str, Model] = {}
        for model in models:
            for name in model.names:
                other = self._by_name.setdefault(name.lower(), model)
                if other is not model:
                    raise InvalidDocument(
                        f"the name `{name}` belongs to both {other.id} and {model.id}; "
                        "remove it from one of them"
                    )

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> Self:
        """Read every `*.yaml` of a folder, in the order of their names.

        Raises:
            InvalidDocument: a file is wrong, is not named after its id, or names collide.
        """
        models = []
        for path in sorted(folder.glob("*.yaml")):
            model = read_document(path, Model)
            if path.stem != model.id:
                raise InvalidDocument(
                    f"{path}: id is `{model.id}`; call the file {model.id}.yaml or change the id"
                )
            models.append(model)
        if not models:
            raise InvalidDocument(f"{folder}: holds no *.yaml file; give the catalog's folder")
        return cls(tuple(models))

    def resolve(self, name: str) -> Model:
        """The model with this id or alias.

        Raises:
            UnknownModel: no model has it; the message offers near names.
        """
        model = self._by_name.get(name.strip().lower())
        if model is None:
            names = [each for model in self._models for each in model.names]
            raise UnknownModel(f"no model is called `{name}`; {nearest(name, names)}")
        return model

    def __iter__(self) -> Iterator[Model]:
        """The models in the order of their ids."""
        return iter(self._models)

    def __len__(self) -> int:
        """Number of models."""
        return len(self._models)
