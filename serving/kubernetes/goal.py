"""What the controller is to bring about: two files of one folder, as the chart writes them."""

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, PositiveInt, TypeAdapter, model_validator

from serving.documents import Strict

Count = Annotated[int, Field(ge=0)]


class Workers(Strict):
    """The workers of one model: the pods of a StatefulSet, each a Ray node."""

    model: str
    """Id of the model and name of its Serve application."""
    stateful_set: str
    pool: str
    """The Ray resource that only they have: one for each rank that a worker has room for."""
    ranks_per_worker: PositiveInt
    group: PositiveInt = 1
    """Workers that an engine spans. Workers come and go in whole groups."""
    least: Count
    most: PositiveInt
    """Bounds in groups, while nothing is exchanged."""
    surge: Count = 0
    """Groups beyond `most` while replicas or workers are exchanged."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least ({self.least}) is above most ({self.most})")
        return self


class Goal(Strict):
    """What Ray Serve is to run, and on what."""

    serve: dict[str, Any]
    """A serveConfigV2."""
    workers: tuple[Workers, ...]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `serve.yaml` and `workers.yaml`.

        Raises:
            OSError: a file can't be read.
            ValueError: a file is none of ours; the message names the field.
        """
        workers = yaml.safe_load((folder / "workers.yaml").read_text("utf-8"))
        return cls(
            serve=yaml.safe_load((folder / "serve.yaml").read_text("utf-8")),
            workers=TypeAdapter(tuple[Workers, ...]).validate_python(workers or ()),
        )
