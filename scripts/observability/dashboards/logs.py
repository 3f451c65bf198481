"""From a picture to single requests: logs and traces."""

from __future__ import annotations

from scripts.observability.dashboards.model import Board, Panel, Query, Row
from scripts.observability.dashboards.series import GATEWAY, quantile, rate, some

_LINES = '{namespace=~"$namespace"} |= "event" | json | __error__=""'

_WAY = """
**From a slow dot to its trace.** The dots on the picture beside this are single requests
(exemplars): a click on one opens its trace. Without dots: the gateway has no
`telemetry.otlp_endpoint`, or Prometheus runs without `--enable-feature=exemplar-storage`.

**From a caller's complaint to its log line.** Every answer has the header `x-request-id`. Its line:
`{namespace="…"} | json | request_id="…"`. It tells the model, status, ending, attempts, the
upstream that answered, times and tokens; never a prompt, an answer or a key.

**From a log line to its trace.** Lines of traced requests have `trace_id`.

**What stands in the log.** `request` one a call; `replica_found`, `replica_gone`;
`upstream_unknown`; `worker_ready`, `drain_timeout`, `requests_cut`. Faults have their type and the
lines of code, without text.

**Without a Loki:** `kubectl logs -n NAMESPACE deploy/r1-gateway | grep request_id`.
"""

_START = Row(
    "From pictures to requests",
    (
        Panel(
            "How to get there",
            "The ways from a picture to one request.",
            kind="text",
            width=12,
            height=12,
            content=_WAY.strip(),
        ),
        Panel(
            "First token, with single requests",
            "The line is p95 of all; dots are single requests whose traces are a click away.",
            "s",
            (
                Query(
                    quantile(0.95, "r1_time_to_first_token_seconds", GATEWAY, "model"),
                    "{{model}}",
                ),
            ),
            width=12,
            height=12,
        ),
    ),
)

_WRONG = Row(
    "What went wrong",
    (
        Panel(
            "Requests that failed, as counted",
            "A second, by status: what the lines below should explain.",
            "reqps",
            (
                Query(
                    some(rate("r1_requests_total", GATEWAY, "model", "code", where='code!="200"')),
                    "{{model}} {{code}}",
                ),
            ),
            kind="stack",
            width=24,
            height=6,
        ),
        Panel(
            "Requests that failed",
            "Answers with 5xx, and streams that ended neither whole nor by their caller.",
            "none",
            (
                Query(
                    f'{_LINES} | event="request" | status>=500 '
                    'or (event="request" and ending!~"done|disconnect|")'
                ),
            ),
            kind="logs",
            width=24,
            height=10,
            source="loki",
        ),
        Panel(
            "Slowest first tokens",
            "Requests whose first token took more than a second.",
            "none",
            (Query(f'{_LINES} | event="request" | first_token_s>1'),),
            kind="logs",
            width=12,
            height=10,
            source="loki",
        ),
        Panel(
            "Warnings and errors of the gateway",
            "Everything above `info` that is no request.",
            "none",
            (Query(f'{_LINES} | event!="request" | level=~"warning|error|critical"'),),
            kind="logs",
            width=12,
            height=10,
            source="loki",
        ),
    ),
)

LOGS = Board(
    "r1-logs",
    "r1 / Logs and traces",
    "From a picture to single requests: logs and traces.",
    (_START, _WRONG),
    logs=True,
)
