"""The table of all faults, and whether r1 reached what is asked of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.chaos.outcome import Outcome

OURS = "r1"
BACK_S = 10.0
"""How long after the fault's end all must be as before."""
_HEAD = (
    "| fault | for s | system | load | calls | failed | wrong | retried | resumed | lost tokens "
    "| recovery s | errors |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)
_WIDTH = 12


@dataclass(frozen=True)
class Row:
    """One fault, system and load; `outcome` is a sentence where it could not be tried."""

    fault: str
    hold_s: float
    spares: bool
    system: str
    load: str
    outcome: Outcome | str

    def line(self) -> str:
        """Of the table."""
        cells = [self.fault, f"{self.hold_s:g}", self.system, self.load]
        if isinstance(self.outcome, str):
            cells += ["–"] * (_WIDTH - len(cells) - 1) + [self.outcome]
        else:
            o = self.outcome
            resumed = "–" if o.resumed is None else str(o.resumed)
            cells += [str(each) for each in (o.calls, o.failed, o.wrong, o.retried, resumed)]
            cells += [str(o.lost_tokens), f"{o.recovery_s:.1f}", o.worst]
        return f"| {' | '.join(cells)} |"

    def misses(self) -> list[str]:
        """What is asked of r1 and was not reached; nothing is asked of others.

        Never an answer that looks whole and is not. No failed call where the fault allows it. And
        soon after the fault all is as before.
        """
        if self.system != OURS or isinstance(self.outcome, str):
            return []
        found, o = [], self.outcome
        where = f"{self.fault}, {self.load}"
        if not o.calls:
            found.append(f"{where}: nobody asked")
        if o.wrong:
            found.append(f"{where}: {o.wrong} answers looked whole and were not")
        if o.failed and self.spares:
            found.append(f"{where}: {o.failed} calls failed")
        if o.recovery_s > self.hold_s + BACK_S:
            found.append(f"{where}: as before only after {o.recovery_s:.1f} s")
        return found

    def data(self) -> dict[str, Any]:
        """As plain values."""
        told = {"missing": self.outcome} if isinstance(self.outcome, str) else vars(self.outcome)
        return {"fault": self.fault, "system": self.system, "load": self.load, **told}


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    return "\n".join([_HEAD, *(row.line() for row in rows)])


def verdict(rows: Sequence[Row]) -> tuple[bool, list[str]]:
    """Whether r1 reached all, and sentences: what it missed, what could not be tried."""
    missed = [sentence for row in rows for sentence in row.misses()]
    untried = sorted(
        {
            f"{row.fault}, {row.system}: not tried: {row.outcome}"
            for row in rows
            if isinstance(row.outcome, str)
        }
    )
    tried = [row for row in rows if row.system == OURS and not isinstance(row.outcome, str)]
    lines = [f"missed: {each}" for each in missed] + untried
    if tried and not missed:
        lines.insert(0, "r1 reached all that is asked of it.")
    return bool(tried) and not missed, lines
