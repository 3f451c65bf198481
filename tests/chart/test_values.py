"""Values, their schema and their page say the same."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from scripts.chart.__main__ import main, stale
from scripts.chart.readme import described, undescribed
from tests.chart.helm import CHART

VALUES = (CHART / "values.yaml").read_text("utf-8")
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))


def test_what_is_made_is_up_to_date() -> None:
    assert stale(CHART) == []
    assert main(["--check"]) == 0


def test_every_value_is_described() -> None:
    assert undescribed(VALUES) == []


def test_a_value_without_a_word_would_be_found() -> None:
    source = "# -- One.\na: 1\n\nb:\n  # no mark\n  c: 2\n# -- Many.\nd:\n  e: {f: 3}\n"
    assert undescribed(source) == ["b.c"]
    assert described(source) == [("a", 1, "One."), ("d", {"e": {"f": 3}}, "Many.")]


def resolved(schema: Any) -> Any:
    if "$ref" in schema:
        return SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def unknown(values: Any, schema: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Paths of values that the schema has no word for."""
    schema = resolved(schema)
    if not isinstance(values, dict) or "properties" not in schema:
        return
    for name, value in values.items():
        if name in schema["properties"]:
            yield from unknown(value, schema["properties"][name], (*path, name))
        else:
            yield ".".join((*path, name))


def test_the_schema_knows_every_value() -> None:
    assert list(unknown(yaml.safe_load(VALUES), SCHEMA)) == []


def opened(schema: Any, path: str = "") -> Iterator[str]:
    """Paths of objects with named fields that would take others too."""
    if isinstance(schema, dict):
        named = isinstance(schema.get("properties"), dict)
        if named and schema.get("additionalProperties") is not False:
            yield path
        for name, each in schema.items():
            yield from opened(each, f"{path}/{name}")


def test_the_schema_is_closed_everywhere() -> None:
    assert list(opened(SCHEMA)) == []
