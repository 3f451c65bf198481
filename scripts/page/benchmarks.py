"""docs/benchmarks.md, read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Section:
    """One section: its title, what is in it, and the command that repeats its figures."""

    title: str
    text: str

    @property
    def command(self) -> str:
        """What measures it again: the command that it names, or, on a stack, the proof."""
        if ", on `r1 up" in self.text:
            return f'python -m scripts.prove "{self.title[0].lower()}{self.title[1:]}"'
        return self.find(r"`((?:python -m|make) [^`]+)`")[1]

    def find(self, pattern: str) -> re.Match[str]:
        """Where a figure stands. Raises LookupError if it does not."""
        found = re.search(pattern, self.text, re.MULTILINE)
        if found is None:
            raise LookupError(f"docs/benchmarks.md, {self.title}: nothing is like {pattern}")
        return found

    def rows(self) -> list[list[str]]:
        """The cells of its first table, without its head."""
        lines = [line for line in self.text.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


class Benchmarks:
    """The sections by their titles."""

    def __init__(self, text: str) -> None:
        _, *parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
        self._sections = {
            title: Section(title, body) for title, body in zip(parts[::2], parts[1::2], strict=True)
        }

    @classmethod
    def load(cls) -> Benchmarks:
        """The project's own page."""
        return cls(PAGE.read_text("utf-8"))

    def section(self, title: str) -> Section:
        """One section. Raises LookupError if there is none of this title."""
        if title not in self._sections:
            raise LookupError(f"docs/benchmarks.md has no section called {title}")
        return self._sections[title]
