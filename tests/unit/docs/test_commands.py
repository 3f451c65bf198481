"""Commands on the pages: those that need nothing are run, all others name what there is."""

import importlib.util
import re
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from r1.cli import COMMANDS, parser, renamed
from tests.pages import (
    HERE,
    NOWHERE,
    ROOT,
    SHELLS,
    Block,
    blocks,
    chosen,
    commands,
    inline,
    lines,
    pages,
    simple,
)
from tests.playground import Playground

HEADS = {"r1", "make", "helm", "kubectl", "docker", "python", "python3", "curl", "pip", "ollama"}
COMPOSE = (ROOT / "deploy" / "compose" / "compose.yaml").read_text("utf-8")
PROFILES = set(re.findall(r"profiles: \[(\w+)\]", COMPOSE))
NAME = re.compile(r"tests/[\w/]+\.py|scripts/[\w/]+\.py")


def harmless(block: Block) -> bool:
    """Whether all that it does is to print or to write a file beside it."""
    words = [each for line in lines(block.text) for each in simple(line)]
    return block.language in SHELLS and all(
        Path(head).name == "r1" and rest[0] in ("engine-args", "gateway", "models", "plan")
        for head, *rest in words
    )


# A plan takes a second of one core, and some blocks have many.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", chosen(HERE), ids=lambda block: block.name)
def test_what_needs_nothing_is_run(block: Block, tmp_path: Path) -> None:
    assert harmless(block), (
        f"{block.name}: say above it where it is run, or why not: tests/pages.py"
    )
    Playground(tmp_path).run(block)


@pytest.mark.parametrize("block", commands(), ids=lambda block: block.name)
def test_each_block_says_where_it_is_run_or_why_not(block: Block) -> None:
    if block.where == NOWHERE:
        for path in NAME.findall(block.said):
            assert (ROOT / path).exists(), f"{block.name}: {path}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_command_hides(page: Path) -> None:
    markers = re.findall(r"<!-- (?:run:|not run here)", page.read_text("utf-8"))
    marked = [block for block in commands(page) if block.said]
    assert len(markers) == len(marked), f"{page}: a marker stands above no block of commands"
    for block in blocks(page):
        if block.language in ("", "text"):
            heads = {line.split()[0] for line in lines(block.text)}
            assert not heads & HEADS, f"{block.name} shows commands: call it bash"
    for line in page.read_text("utf-8").splitlines():
        assert not (line.startswith("    ") and line.split()[:1] and line.split()[0] in HEADS), line


@pytest.mark.parametrize("block", commands(), ids=lambda block: block.name)
def test_commands_in_blocks_are_there(block: Block) -> None:
    if block.language in SHELLS:
        for line in lines(block.text):
            for words in simple(line):
                assert not complaints(words, whole=True), f"{block.name}: {line}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_commands_in_sentences_are_there(page: Path) -> None:
    for text in inline(page):
        if text.split()[0] in ("r1", "make", "python", "python3"):
            for words in simple(re.sub(r"[|\[\]]", " ", text).replace("create list", "create")):
                assert not complaints(words, whole=False), f"{page}: `{text}`"


@pytest.mark.parametrize(
    "line",
    [
        "r1 plann deepseek-r1",
        "r1 plan deepseek-r1 --hardwear 8xh200",
        "r1 keys revoke --tenant a",
        "python -m loadtests.gatewayz",
        "python -m loadtests.steady --secondz 3",
        "docker compose --profile gpus up",
        "make upp",
        "make test-nothing",
        "cat x | r1 batch runs in.jsonl out.jsonl",
        "X=$(r1 envy)",
        "python deploy/nothing.py",
    ],
)
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    assert any(complaints(words, whole=True) for words in simple(line))


@pytest.mark.parametrize(
    "line", ["r1 up", "kubectl delete pod a", "r1 plan a | sh", "rm b", "make"]
)
def test_what_does_more_than_print_is_not_run_unasked(line: str) -> None:
    assert not harmless(Block(ROOT / "README.md", 1, "bash", line + "\n", ""))


def test_a_comment_that_says_nothing_is_refused() -> None:
    block = Block(ROOT / "README.md", 1, "bash", "r1 up\n", "not run here")
    with pytest.raises(ValueError, match="says neither where nor why not"):
        _ = block.where


def complaints(words: list[str], *, whole: bool) -> list[str]:
    """What a command names that there is not; of a sentence's only names and options."""
    head, *rest = words
    if Path(head).name == "r1" and rest:
        return list(_r1(rest, whole=whole))
    if head in ("python", "python3") and rest[:2] == ["-m", "r1"]:
        return complaints(rest[1:], whole=whole)
    if head in ("python", "python3") and rest[:1] == ["-m"]:
        return list(_module(rest[1], rest[2:]))
    if head in ("python", "python3") and rest[:1] != ["-c"]:
        return [] if (ROOT / rest[0]).exists() or rest[0].startswith("/etc/") else rest[:1]
    if head == "docker" and rest[:1] == ["compose"]:
        chosen = [word for before, word in pairwise(rest) if before == "--profile"]
        return [word for word in chosen if word not in PROFILES]
    if head == "make":
        known = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
        known |= {f"test-{each.name}" for each in (ROOT / "tests").iterdir() if each.is_dir()}
        return [word for word in rest if "=" not in word and word not in known]
    return []


def _module(name: str, words: list[str]) -> Iterator[str]:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        yield f"no module {name}"
        return
    origin = Path(found.origin)
    files = origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
    source = "".join(file.read_text("utf-8") for file in files)
    # What stands behind `--` is another command's.
    own = words[: words.index("--")] if "--" in words else words
    options = [word.partition("=")[0] for word in own if word.startswith("--")]
    yield from (option for option in options if f'"{option}"' not in source)


def _r1(words: list[str], *, whole: bool) -> Iterator[str]:
    words = renamed(words)
    if words[0] not in COMMANDS:
        yield f"no command {words[0]}"
        return
    known = parser(words[0])
    if whole:
        try:
            known.parse_args(words)
        except SystemExit:
            yield f"r1 {' '.join(words)} is refused"
        return
    options = {option for each in _parsers(known) for option in each._option_string_actions}
    yield from (w for w in words if w.startswith("--") and w.partition("=")[0] not in options)


def _parsers(top: ArgumentParser) -> Iterator[ArgumentParser]:
    yield top
    for action in top._actions:
        if isinstance(action, _SubParsersAction):
            for each in action.choices.values():
                yield from _parsers(each)
