"""What a check says: findings, and the report that they make."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

SCHEMA = "r1.doctor/1"
"""Name of the JSON document; the number changes when a field goes or changes its meaning."""
WELL, WARNED, REFUSED, BLIND = 0, 1, 2, 3
"""Exit statuses: all well; warnings, with --strict; errors; it could not be looked."""


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    ERROR = "error"
    """The deployment won't start, or will answer wrongly."""
    WARNING = "warning"
    """It starts, but worse than planned, or it could not be looked at."""
    INFO = "info"
    """Worth knowing; nothing to mend."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw."""

    id: str
    """The check's."""
    severity: Severity
    found: str
    """What is there, as a sentence; never a secret."""
    mend: str = ""
    """What to do about it; empty where nothing has to be done."""
    subject: str = ""
    """The node, model or object it is about; empty for the whole."""

    @classmethod
    def error(cls, check: str, found: str, mend: str, subject: str = "") -> Self:
        """A finding that forbids the deployment."""
        return cls(check, Severity.ERROR, found, mend, subject)

    @classmethod
    def warning(cls, check: str, found: str, mend: str, subject: str = "") -> Self:
        """A finding to look at."""
        return cls(check, Severity.WARNING, found, mend, subject)

    @classmethod
    def info(cls, check: str, found: str, subject: str = "") -> Self:
        """A finding to know of."""
        return cls(check, Severity.INFO, found, "", subject)

    @classmethod
    def ok(cls, check: str, found: str, subject: str = "") -> Self:
        """Nothing to mend."""
        return cls(check, Severity.OK, found, "", subject)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one target, the worst first, else in the checks' order."""

    kind: str
    """`machine` or `cluster`."""
    target: str
    """Its name."""
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, kind: str, target: str, findings: Iterable[Finding]) -> Self:
        """Put the findings in order."""
        order = list(Severity)
        ranked = sorted(findings, key=lambda each: order.index(each.severity))
        return cls(kind, target, tuple(ranked))

    def count(self, severity: Severity) -> int:
        """How many findings have this severity."""
        return sum(each.severity is severity for each in self.findings)

    def exit_status(self, *, strict: bool = False) -> int:
        """2 with an error, 1 with a warning where `strict`, else 0."""
        if self.count(Severity.ERROR):
            return REFUSED
        return WARNED if strict and self.count(Severity.WARNING) else WELL

    def document(self, *, strict: bool = False) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "target": self.target,
            "exit_status": self.exit_status(strict=strict),
            "summary": {each.value: self.count(each) for each in Severity},
            "findings": [asdict(each) for each in self.findings],
        }
