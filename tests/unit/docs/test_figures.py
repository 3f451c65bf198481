"""Figures on the README are those of docs/benchmarks.md, each with a command that there is."""

import importlib.util
import re
import shlex
import xml.etree.ElementTree as xml

import pytest

from scripts.page import figures
from scripts.page.__main__ import PICTURES, READMES, contents
from scripts.page.benchmarks import PAGE, Benchmarks
from scripts.prove import PROOFS
from tests.pages import README

NUMBER = re.compile(r"\d[\d.,]*\d|\d")


def rows(language: str) -> list[list[str]]:
    """The cells of a README's table of figures."""
    text = READMES[language].read_text("utf-8")
    table = text.split(figures.BEGIN)[1].split(figures.END)[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_nothing_is_stale() -> None:
    for path, text in contents():
        assert path.read_text("utf-8") == text, f"{path.name}: run python -m scripts.page"


@pytest.mark.parametrize("language", READMES)
def test_each_figure_stands_on_the_page_of_benchmarks(language: str) -> None:
    known = set(NUMBER.findall(PAGE.read_text("utf-8")))
    told = rows(language)
    assert len(told) == len(figures.ROWS)
    for _, measured, _ in told:
        # Targets, in brackets, stand there too.
        assert set(NUMBER.findall(measured)) <= known, measured


@pytest.mark.parametrize("row", rows("en"), ids=lambda row: row[0])
def test_each_figure_has_a_command_that_repeats_it(row: list[str]) -> None:
    words = shlex.split(row[-1].strip("`"))
    if words == ["make", "up"]:
        return
    assert words[:2] == ["python", "-m"]
    assert importlib.util.find_spec(words[2])
    if words[2] == "scripts.prove":
        assert words[3] in {proof.name for proof in PROOFS}
    else:
        assert words[2] in {proof.command.split()[0] for proof in PROOFS}


def test_a_missed_target_is_told() -> None:
    page = PAGE.read_text("utf-8").replace(
        "MISSED: ≥ 0.6 × vllm-router's", "reached: ≥ 0.6 × vllm-router's"
    )
    before = figures.table(Benchmarks.load(), "en").count("**missed**")
    assert figures.table(Benchmarks(page), "en").count("**missed**") <= before
    worse = page.replace("reached: ≥ 15 × litellm's", "MISSED: ≥ 15 × litellm's")
    line = next(
        each for each in figures.table(Benchmarks(worse), "en").splitlines() if "≥ 15" in each
    )
    assert "(≥ 15) **missed**" in line


def test_a_figure_that_is_gone_is_named() -> None:
    page = PAGE.read_text("utf-8").replace("5xx: 0", "5xx: none")
    with pytest.raises(LookupError, match="Fuzzed requests"):
        figures.table(Benchmarks(page), "en")


def test_the_picture_shows_these_figures() -> None:
    tree = xml.parse(PICTURES / "benchmarks.svg")
    told = {"".join(each.itertext()).strip() for each in tree.iter() if each.tag.endswith("}text")}
    recorded = Benchmarks.load()
    for row in recorded.section("Gateways side by side").rows():
        assert row[0] in told
        assert row[3] in told
    for row in recorded.section("Overload").rows():
        assert {row[0], row[2]} <= told


def test_the_readme_tells_what_was_not_measured() -> None:
    assert "Not measured: anything on a GPU" in README.read_text("utf-8")
