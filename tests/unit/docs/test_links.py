"""Links lead somewhere, and the README and its Chinese twin are in step."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.pages import README, ROOT, TWIN, Block, blocks, inline, pages, prose

LINK = re.compile(r"\[[^\]]*\]\(([^\s)]+)(?: \"([^\"]+)\")?\)")
LANGUAGES = re.compile(r"^\[(中文|English)\]\(README(\.zh)?\.md\)$", re.M)
# Digits, and what the twin writes around them.
FIGURE = re.compile(r"(?<![A-Za-z0-9.])\d[\d.,]*\d|(?<![A-Za-z0-9.])\d")


@cache
def defined_in(path: Path) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@cache
def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, title in LINK.findall(page.read_text("utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(path), f"{page.name} links to {target}"
        if title.startswith("test_"):
            assert title in defined_in(path), f"{page.name}: {target} has no {title}"


def test_each_mark_of_r1_has_its_test() -> None:
    marks = [line.split(" | ")[1] for line in comparison(README)[2:]]
    assert len(marks) > 15
    for mark in marks:
        assert mark == "–" or re.fullmatch(
            r"\[[^\]]+\]\(tests/[\w/]+\.py( \"test_\w+\")?\)", mark
        ), mark


def test_the_twins_show_the_same_commands() -> None:
    assert [shown(each) for each in blocks(README)] == [shown(each) for each in blocks(TWIN)]
    assert [each for each in inline(README) if " " in each] == [
        each for each in inline(TWIN) if " " in each
    ]


def test_the_twins_have_the_same_links_figures_and_headings() -> None:
    english, chinese = (LANGUAGES.sub("", page.read_text("utf-8")) for page in (README, TWIN))
    assert LINK.findall(english) == LINK.findall(chinese)
    for pattern in (r"^(#+) ", r"^(\|)", r"^(- )", r"^(!\[)"):
        assert re.findall(pattern, english, re.M) == re.findall(pattern, chinese, re.M), pattern
    assert sorted(FIGURE.findall(english)) == sorted(FIGURE.findall(chinese))


def test_the_twins_compare_alike() -> None:
    def marks(page: Path) -> list[list[str]]:
        cells = [line.strip("| ").split(" | ")[1:] for line in comparison(page)[2:]]
        return [
            [re.sub(r"[^✓~–?\d≥]", "", cell.partition("(")[0])[:1] for cell in row] for row in cells
        ]

    assert marks(README) == marks(TWIN)
    assert {len(row) for row in marks(README)} == {8}


def comparison(page: Path) -> list[str]:
    """The lines of the table with the others."""
    lines = page.read_text("utf-8").splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("| | r1 |"))
    last = next(at for at in range(first, len(lines)) if not lines[at].startswith("|"))
    return lines[first:last]


def shown(block: Block) -> tuple[str, str, str]:
    """What a reader sees of a block, and what is said of it."""
    return block.language, block.text, block.said


def test_every_page_is_listed() -> None:
    listed = {
        (ROOT / "docs" / target.partition("#")[0]).resolve()
        for target, _ in LINK.findall((ROOT / "docs" / "README.md").read_text("utf-8"))
    }
    for page in (ROOT / "docs").glob("*.md"):
        assert page in listed or page.name == "README.md", page
