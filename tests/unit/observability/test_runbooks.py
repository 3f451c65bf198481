"""A runbook for each alert, an alert for each runbook, and nothing in them that does not exist."""

import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1.cli import COMMANDS
from scripts.observability import alerts
from tests.unit.observability import promtool, sources
from tests.unit.observability.sources import read

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "runbooks"
BOOKS = sorted(FOLDER.glob("*.md"))
SECTIONS = [
    "Meaning",
    "Impact",
    "How to confirm",
    "Causes, likeliest first",
    "Mends",
    "How to prevent it",
]
SCHEMA: dict[str, Any] = json.loads((ROOT / "deploy/helm/r1/values.schema.json").read_text("utf-8"))


def blocks(book: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", book.read_text("utf-8"), re.M | re.S)


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert {book.stem for book in BOOKS} == set(alerts.names())


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_a_runbook_has_all_its_parts(book: Path) -> None:
    text = book.read_text("utf-8")
    assert text.startswith(f"# {book.stem}\n")
    parts = re.split(r"^## (.+)$", text, flags=re.M)
    assert parts[1::2] == SECTIONS
    told = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert all(part.strip() for part in told.values())
    assert re.match(r"\s*1\. .+\n+2\. ", told["Causes, likeliest first"])
    assert "```bash" in told["Mends"], "mends are commands"
    assert "```" in told["How to confirm"]


def test_promql_in_runbooks_parses(tmp_path: Path) -> None:
    queries = [query for book in BOOKS for query in blocks(book, "promql")]
    rules = [{"record": f"r1:query_{i}", "expr": each} for i, each in enumerate(queries)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]}))
    promtool.run("check", "rules", path)


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_series_in_runbooks_exist(book: Path) -> None:
    assert blocks(book, "promql")
    for query in blocks(book, "promql"):
        assert read(query) <= sources.known()


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_commands_in_runbooks_name_what_the_chart_and_the_command_have(book: Path) -> None:
    for line in (line for block in blocks(book, "bash") for line in block.splitlines()):
        words = shlex.split(line, comments=True)
        if words[:1] == ["r1"]:
            assert words[1] in COMMANDS, line
        for option, setting in itertools.pairwise(words):
            if option in ("--set", "--set-string", "--set-json"):
                assert takes(SCHEMA, setting.partition("=")[0].split(".")), line


def test_a_value_that_the_chart_does_not_have_is_noticed() -> None:
    assert takes(SCHEMA, ["gateway", "models", "m", "batching", "capacity"])
    assert not takes(SCHEMA, ["gateway", "models", "m", "batching", "capacty"])
    assert takes(SCHEMA, ["models", "m", "autoscaling", "max"])
    assert not takes(SCHEMA, ["models", "m", "autoscaling", "maximum"])


def takes(schema: dict[str, Any], path: list[str]) -> bool:
    """Whether the chart's values may have a field."""
    if "$ref" in schema:
        return takes(SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]], path)
    if not path:
        return True
    if schema.get("type", "object") != "object":
        return False
    if "anyOf" in schema:
        return any(takes(each, path) for each in schema["anyOf"])
    head, *rest = path
    if head in schema.get("properties", {}):
        return takes(schema["properties"][head], rest)
    others = schema.get("additionalProperties", "properties" not in schema)
    return takes(others, rest) if isinstance(others, dict) else bool(others)
