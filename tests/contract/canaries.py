"""What tests of the canary look at: the command, and the metrics."""

from __future__ import annotations

import contextlib
import io

from r1 import cli
from tests.contract.stack import Gateway


def canary(gateway: Gateway, *words: str) -> tuple[int, str]:
    """`r1 canary`: its status and what it prints."""
    key = ("--key-file", str(gateway.config.parent / "admin.key"))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = cli.main(["canary", "--url", gateway.admin_url, *key, *words])
    return status, out.getvalue()


def by_upstream(gateway: Gateway, name: str) -> dict[str, float]:
    """A metric of one model's upstreams."""
    return {
        dict(labels)["upstream"]: value
        for (given, labels), value in gateway.samples().items()
        if given == name
    }


def drifts(gateway: Gateway) -> dict[str, float]:
    return by_upstream(gateway, "r1_canary_drift_nats")


def ejected(gateway: Gateway) -> set[str]:
    return {name for name, value in by_upstream(gateway, "r1_canary_ejected").items() if value}


def checks(gateway: Gateway, outcome: str) -> float:
    """Answers of replicas to the canary."""
    return gateway.value("r1_canary_checks_total", outcome=outcome)
