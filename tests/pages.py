"""The shell commands that the project's pages show, and what the pages say of running them.

A fenced block of `bash` (or `python`) is run by a test, verbatim. An HTML comment right above it
says where, or why it is not:

    (none)                         by `make test`: tests/unit/docs
    <!-- run: stack -->            on the running local stack: tests/integration/docs
    <!-- run: chart -->            with helm, which renders instead of installing: tests/chart
    <!-- not run here: REASON -->  nowhere; what it names must exist all the same
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
README, TWIN = ROOT / "README.md", ROOT / "README.zh.md"
SHELLS = ("bash", "sh", "shell", "console")
HERE, STACK, CHART, NOWHERE = "here", "stack", "chart", "nowhere"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S
)
_COMMENT = re.compile(r"<!-- (?P<said>[^>]*?) -->\n *$")
_RUN = re.compile(r"run: (stack|chart)")
_REASON = re.compile(r"not run here: (.{10,})", re.S)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_INNER = re.compile(r"\$\(([^()]*)\)")
_ENDS = {"|", "||", "&&", "&", ";"}


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its fence, `said` the comment above it."""

    page: Path
    line: int
    language: str
    text: str
    said: str

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def where(self) -> str:
        """Where it is run. Raises ValueError for a comment that says something else."""
        if not self.said:
            return HERE
        if found := _RUN.fullmatch(self.said):
            return found[1]
        if _REASON.fullmatch(self.said):
            return NOWHERE
        raise ValueError(f"{self.name}: <!-- {self.said} --> says neither where nor why not")


def pages() -> list[Path]:
    """All pages that show commands."""
    others = ("deploy/helm/r1/README.md", "deploy/helm/r1/README.template.md")
    return [
        README,
        TWIN,
        *sorted((ROOT / "docs").rglob("*.md")),
        *(ROOT / each for each in others),
        ROOT / "serving" / "nano" / "README.md",
    ]


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The fenced blocks of a page."""
    text = page.read_text("utf-8")
    found = []
    for each in _FENCE.finditer(text):
        above = _COMMENT.search(text, max(0, each.start() - 400), each.start())
        about = above["said"] if above and above["said"].startswith(("run", "not run")) else ""
        line = text.count("\n", 0, each.start()) + 1
        found.append(Block(page, line, each["language"], each["text"], about))
    return tuple(found)


def commands(page: Path | None = None) -> list[Block]:
    """The blocks of a page, or of all, that somebody can run."""
    wanted = (*SHELLS, "python")
    which = pages() if page is None else [page]
    return [block for each in which for block in blocks(each) if block.language in wanted]


def chosen(where: str) -> list[Block]:
    """The blocks that are run in one place; the twin's are those of the README."""
    return [block for block in commands() if block.page != TWIN and block.where == where]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def inline(page: Path) -> list[str]:
    """What stands between backticks in a page's prose, on one line each."""
    return [" ".join(each.split()) for each in _INLINE.findall(prose(page))]


def lines(text: str) -> list[str]:
    """A script's lines without comments and blank ones; continued lines are one."""
    joined = re.sub(r"\\\n\s*", "", text).splitlines()
    return [line for line in joined if line.strip() and not line.lstrip().startswith("#")]


def simple(line: str) -> Iterator[list[str]]:
    """The words of each simple command in a line of shell, without redirections.

    Good for what pages show: pipes, lists, `$(…)`, quotes, variables set in front.
    """
    for inner in _INNER.findall(line):
        yield from simple(inner)
    lexer = shlex.shlex(_INNER.sub("X", line), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for word in (*lexer, ";"):
        if word in _ENDS:
            kept = _without_variables(words)
            if kept:
                yield kept
            words = []
        elif skip or set(word) <= set("<>&"):
            skip = not skip
        else:
            words.append(word)


def _without_variables(words: list[str]) -> list[str]:
    for at, word in enumerate(words):
        if not re.match(r"[A-Za-z_]\w*=", word):
            return words[at:]
    return []
