"""The list of a model's files with sizes and checksums, kept beside them."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError, field_validator

from serving.errors import WeightsError

NAME = "r1-weights.json"

_WEIGHTS = ".safetensors"
# Beside the weights: configuration, tokenizer, chat template. No code: nothing here runs it.
_BESIDE = (".json", ".txt", ".model", ".jinja")


class File(BaseModel):
    """One file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: NonNegativeInt
    """Bytes."""
    sha256: str | None = None
    """Hexadecimal, or None where the source doesn't tell it."""
    version: str = ""
    """What the source calls this content (an ETag or a time), to notice that it changed."""


class Manifest(BaseModel):
    """All files of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    revision: str = ""
    files: dict[str, File]

    @field_validator("files")
    @classmethod
    def _inside(cls, value: dict[str, File]) -> dict[str, File]:
        for name in value:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or not name:
                raise ValueError(f"{name!r} would lie outside the folder")
        return value

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def save(self, folder: Path) -> None:
        """Write it into the folder, whole or not at all."""
        fresh = folder / f".{NAME}.{os.getpid()}"
        fresh.write_text(self.model_dump_json(indent=1), encoding="utf-8")
        fresh.replace(folder / NAME)

    @classmethod
    def load(cls, folder: Path) -> "Manifest | None":
        """Read the manifest of a folder; None without one.

        Raises:
            WeightsError: it is not a manifest.
        """
        try:
            text = (folder / NAME).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise WeightsError(f"{folder / NAME} is damaged: remove it and pull again") from error


def wanted(names: Iterable[str], source: object) -> list[str]:
    """Return the files that serving needs of those that a source has, sorted.

    Raises:
        WeightsError: there are no safetensors files among them.
    """
    usable = sorted(
        name
        for name in names
        if name.endswith((_WEIGHTS, *_BESIDE))
        and not any(part.startswith(".") for part in PurePosixPath(name).parts)
        and PurePosixPath(name).parts[0] != "original"
        and name != NAME
    )
    if not any(name.endswith(_WEIGHTS) for name in usable):
        raise WeightsError(f"{source} has no *.safetensors files: is the address right?")
    return usable
