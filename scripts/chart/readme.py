"""README.md of the chart: README.template.md with a table of all values.

Each value of values.yaml is described by the comment above it that begins with `# --`; one without
belongs to the mapping above it, whose comment speaks for all of its fields.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = "README.template.md"
_MARK = "# --"
_TABLE = "{{ values }}"
_LONGEST = 60
"""Characters of a default that the table shows whole."""


def text(folder: Path) -> str:
    """The page's text."""
    rows = table(described((folder / "values.yaml").read_text("utf-8")))
    template = (folder / TEMPLATE).read_text("utf-8")
    return template.replace(_TABLE, "\n".join(("| value | default | |", "|---|---|---|", *rows)))


def table(values: Sequence[tuple[str, Any, str]]) -> Iterator[str]:
    """A row for each value: its path, its default, its description."""
    for path, default, description in values:
        shown = json.dumps(default, ensure_ascii=False)
        shown = shown if len(shown) <= _LONGEST else "see values.yaml"
        yield f"| `{path}` | `{shown}` | {description} |".replace(
            "`see values.yaml`", "see values.yaml"
        )


def described(source: str) -> list[tuple[str, Any, str]]:
    """Each described value: path, default, description, in the order of the file."""
    lines = source.splitlines()
    found: list[tuple[str, Any, str]] = []

    def visit(node: yaml.Node | None, path: tuple[str, ...]) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            where = (*path, key.value)
            description = _comment(lines, key.start_mark.line)
            if description:
                found.append((".".join(where), _plain(value), description))
            visit(value, where)

    visit(yaml.compose(source, Loader=yaml.SafeLoader), ())
    return found


def undescribed(source: str) -> list[str]:
    """The paths of plain values for which no comment speaks: neither their own nor one above."""
    known = {path for path, _, _ in described(source)}
    return [
        path
        for path in _leaves(yaml.safe_load(source), ())
        if not any(path == each or path.startswith(f"{each}.") for each in known)
    ]


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    else:
        yield ".".join(path)


def _comment(lines: Sequence[str], line: int) -> str:
    """The comment above a line, from its mark on, in one line."""
    block: list[str] = []
    for above in reversed(lines[:line]):
        words = above.strip()
        if not words.startswith("#"):
            return ""
        block.insert(0, words.removeprefix(_MARK).removeprefix("#").strip())
        if words.startswith(_MARK):
            return " ".join(block)
    return ""


def _plain(node: yaml.Node) -> Any:
    return yaml.safe_load(yaml.serialize(node, Dumper=yaml.SafeDumper))
