"""Builds: the files a model can be served from, each in one format."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, HttpUrl, PositiveFloat, PositiveInt, model_validator

from serving.catalog.formats import Format, is_gguf
from serving.documents import Strict

PACKAGE = Path(__file__).resolve().parents[1]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")]
Engine = Literal["vllm", "llamacpp", "ollama", "sglang"]
TensorClass = Literal["attention", "dense", "routed"]
LINEAR: tuple[TensorClass, ...] = ("attention", "dense", "routed")


class Base(Strict):
    """The model that a distill was trained from, whose terms go with it."""

    model: Name
    licence: str
    terms: HttpUrl | None = None


class Licence(Strict):
    """Under what terms the weights may be used."""

    id: str
    source: HttpUrl | None = None
    base: Base | None = None
    gated: bool
    """Whether the hub asks for an account that accepted the terms before a download."""


class Build(Strict):
    """One set of weight files of a model."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]
    format: Format
    engines: Annotated[tuple[Engine, ...], Field(min_length=1)]
    """Which engines read it; r1 starts vLLM itself, the others are upstreams of the gateway."""
    hub: Name | None = None
    """Hugging Face id."""
    file: str | None = None
    """The file, or the first characters of its parts, in a hub folder that holds several."""
    ollama: Name | None = None
    """Tag in Ollama's library; its short ones (8b, 671b) have moved on to later models."""
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*$")] | None = (
        None
    )
    """Folder inside the package `serving`, for models that ship with it."""
    least_vllm: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] | None = None
    """The first release of vLLM known to serve it."""
    quantised: tuple[TensorClass, ...] = LINEAR
    """Classes of linear layers that are in the format; the rest, and all else, is as it was."""
    group: PositiveInt | None = None
    """Columns that share a scale, where not the format's usual number."""
    mtp: Literal["quantised", "bfloat16", "absent"] = "absent"
    """How the build carries the multi-token-prediction layers, where the model has any."""
    files_gb: PositiveFloat | None = None
    """10^9 bytes of all weight files as published; tests compare the arithmetic with it."""
    licence: Licence | None = None
    """Where it is not the model's."""
    source: str
    """Where the rest of this is from."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.package is not None) == (self.hub is not None or self.ollama is not None):
            raise ValueError("give a place: one of hub and package; GGUF may add ollama")
        if ("vllm" in self.engines) != (self.least_vllm is not None):
            raise ValueError("least_vllm: give it where vllm is one of the engines, and only there")
        if ("ollama" in self.engines) != (self.ollama is not None):
            raise ValueError("ollama: give the tag where ollama is one of the engines")
        if self.ollama is not None and not is_gguf(self.format):
            raise ValueError("ollama: it serves GGUF only; take it out or change format")
        return self

    @property
    def path(self) -> Path | None:
        """Folder of the weights where they ship with the package, else None."""
        return None if self.package is None else PACKAGE / self.package

    @property
    def dtype(self) -> Format:
        """The format, under the name that vLLM's users look for."""
        return self.format
