"""Strict YAML documents: read a file, check it against a pydantic model, explain what is wrong."""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from serving.errors import InvalidDocument, nearest

Document = TypeVar("Document", bound=BaseModel)


class Strict(BaseModel):
    """A frozen part of a document: no unknown field, no silent conversion between types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, where YAML would keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key `{key}` is written twice; remove one",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_document(path: Path, document: type[Document]) -> Document:
    """Read `path` as YAML and validate it as `document`.

    Raises:
        InvalidDocument: as `read_mapping` and `check_document` do.
    """
    return check_document(path, read_mapping(path), document)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read `path` as YAML of plain values.

    Raises:
        InvalidDocument: the file can't be read, is no YAML, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDocument(f"{path}: can't be read ({error}); check path and rights") from error
    try:
        # A subclass of SafeLoader: it builds plain values only.
        raw = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506
    except yaml.YAMLError as error:
        raise InvalidDocument(f"{path}: is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise InvalidDocument(f"{path}: must be a mapping of fields to values, but it is not")
    return raw


def check_document(path: Path, raw: dict[str, Any], document: type[Document]) -> Document:
    """Validate what was read from `path` as `document`.

    Raises:
        InvalidDocument: it has wrong, missing or unknown fields; the message has a line for each.
    """
    try:
        # By way of JSON, because strict pydantic then takes a list for a tuple, and nothing else.
        return document.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        known = _field_names(document)
        lines = [f"{path}: {len(error.errors())} field(s) to mend"]
        lines += [f"  {_explain(each, known)}" for each in error.errors(include_url=False)]
        raise InvalidDocument("\n".join(lines)) from error


def _explain(error: ErrorDetails, known: set[str]) -> str:
    field = ".".join(str(part) for part in error["loc"]) or "(the whole document)"
    if error["type"] == "missing":
        return f"{field}: is missing; add it"
    if error["type"] == "extra_forbidden":
        return f"{field}: is not a known field; {nearest(str(error['loc'][-1]), known)}"
    if error["type"] == "value_error":
        return f"{field}: {error['msg'].removeprefix('Value error, ')}"
    return f"{field}: {error['msg']}, but it is {error['input']!r}; change the value"


def _field_names(document: type[BaseModel]) -> set[str]:
    """Names of the fields of a document and of all documents inside it."""
    names: set[str] = set()
    pending: list[Any] = [document]
    while pending:
        part = pending.pop()
        if isinstance(part, type) and issubclass(part, BaseModel):
            names |= set(part.model_fields)
            pending += [field.annotation for field in part.model_fields.values()]
        else:
            pending += list(getattr(part, "__args__", ()))
    return names
