"""The picture of a terminal shows what commands really printed."""

import os
import xml.etree.ElementTree as xml

import pytest

from scripts.page import terminal
from scripts.page.__main__ import PICTURES

HERE = {**os.environ, "COLUMNS": "60"}


def test_a_command_s_output_comes_as_a_terminal_gets_it() -> None:
    assert (
        terminal.output("test -t 1 && printf '\\033[32myes\\033[0m\\n'", HERE)
        == "\x1b[32myes\x1b[0m"
    )


def test_a_command_that_fails_makes_no_picture() -> None:
    with pytest.raises(RuntimeError, match="it broke"):
        terminal.output("echo it broke; exit 3", HERE)


def test_each_picture_shows_its_commands() -> None:
    made = {path.stem: path for path in PICTURES.glob("*.svg") if path.stem in terminal.COMMANDS}
    assert "plan" in made
    for name, path in made.items():
        tree = xml.parse(path)
        texts = ["".join(each.itertext()) for each in tree.iter() if each.tag.endswith("}text")]
        shown = "".join(texts).replace("\xa0", " ")
        for command in terminal.COMMANDS[name]:
            assert command in shown


def test_the_plan_s_picture_shows_what_the_plan_says() -> None:
    text = (PICTURES / "plan.svg").read_text("utf-8").replace("&#160;", " ")
    for word in ("TTFT", "ITL", "throughput", "USD a million tokens"):
        assert word in text
