"""The comparison as Markdown and as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from loadtests.compare.samples import standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.compare.samples import Figure, Samples


_WORDS = {"ahead": "ahead of", "level": "level with", "behind": "behind"}


@dataclass(frozen=True)
class Section:
    """A case and what was measured."""

    name: str
    title: str
    figures: Sequence[Figure]
    servers: Sequence[str]
    samples: Samples
    ours: str = "r1"

    def markdown(self) -> str:
        """A heading, the table, who could not be measured and why, and how r1 stands."""
        parts = [f"### {self.title}", self._table()]
        reasons = [f"- {name}: {why}" for name, why in self.samples.reasons.items()]
        parts += ["\n".join(lines) for lines in (reasons, self._standings()) if lines]
        return "\n\n".join(parts)

    def _table(self) -> str:
        heads = ["server", *(figure.title for figure in self.figures)]
        lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for server in self.servers:
            found = [self.samples.summary(server, figure) for figure in self.figures]
            cells = [
                "–" if each is None else each.text(figure.digits)
                for each, figure in zip(found, self.figures, strict=True)
            ]
            lines.append(f"| {' | '.join((server, *cells))} |")
        return "\n".join(lines)

    def _standings(self) -> list[str]:
        return [line for figure in self.figures if (line := self._standing_by(figure)) is not None]

    def _standing_by(self, figure: Figure) -> str | None:
        ours = self.samples.summary(self.ours, figure)
        if ours is None:
            return None
        parts = []
        for server in self.servers:
            theirs = self.samples.summary(server, figure)
            if server in (self.ours, "direct") or theirs is None:
                continue
            if ours.high == theirs.high == 0:  # nothing failed: no contest
                continue
            ratio = f" ({ours.median / theirs.median:.2f} ×)" if theirs.median else ""
            parts.append(f"{_WORDS[standing(ours, theirs, figure)]} {server}{ratio}")
        return f"- {self.ours}, {figure.title}: {', '.join(parts)}" if parts else None

    def data(self) -> dict[str, Any]:
        """All rounds, for JSON."""
        return {
            "case": self.name,
            "title": self.title,
            "figures": [asdict(figure) for figure in self.figures],
            "servers": list(self.servers),
            "rounds": self.samples.rounds,
            "reasons": self.samples.reasons,
        }
