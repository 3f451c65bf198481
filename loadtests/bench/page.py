"""A load's report as one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from loadtests.bench.slo import Judgement

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .9em;border-bottom:1px solid #ddd}
td{text-align:right}td:first-child,th:first-child{text-align:left}.missed{color:#b00020}
.kept{color:#1b7f3b}svg{width:100%;height:auto}code{background:#f3f3f3;padding:.1em .3em}
"""
_LATENCIES = ("ttft", "tpot", "itl", "e2el")
_SPREAD = ("mean", "median", "p90", "p95", "p99")
_NUMBERS = (
    *("duration", "calls", "completed", "failed", "request_throughput", "request_goodput"),
    *("output_throughput", "total_token_throughput", "max_output_tokens_per_s"),
    *("max_concurrent_requests", "total_input_tokens", "total_output_tokens", "judged", "wrong"),
    *("cache_hit_rate", "left", "refused_as_expected", "unfinished", "max_client_lateness_ms"),
)


def page(
    report: Mapping[str, Any], judgement: Judgement, plots: Iterable[tuple[str, str]], note: str
) -> str:
    """The file's text; `note` stands where a plot can't."""
    word, mark = ("kept", "kept") if judgement.kept else ("missed", "missed")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>r1 bench: {escape(report['model_id'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(report['model_id'])}</h1>",
        f"<p>{escape(report['base_url'])}, {escape(report['load'])}, {escape(report['date'])}</p>",
        f"<h2>Gates: <span class={mark}>{word}</span></h2>",
        _gates(judgement),
        "<h2>Latencies</h2>",
        _table(
            ("ms", *_SPREAD),
            [(n.upper(), *(report[f"{part}_{n}_ms"] for part in _SPREAD)) for n in _LATENCIES],
        ),
        *(f"<h2>{escape(title)}</h2>{svg}" for title, svg in plots),
        f"<p>{escape(note)}</p>" if note else "",
        "<h2>Figures</h2>",
        _table(("figure", ""), [(name, report[name]) for name in _NUMBERS]),
        "<h2>Users</h2>",
        _users(report["users"]),
    ]
    if report["errors"]:
        rows = list(report["errors"].items())
        parts += ["<h2>Errors</h2>", _table(("how calls ended", "calls"), rows)]
    return "\n".join(part for part in parts if part) + "\n"


def _gates(judgement: Judgement) -> str:
    rows = [
        (each.name, f"{'≥' if each.least else '≤'} {each.bound:g}", each.measured, each.kept)
        for each in judgement.verdicts
    ]
    marks = {True: "<span class=kept>kept</span>", False: "<span class=missed>MISSED</span>"}
    body = "".join(
        f"<tr>{''.join(f'<td>{_shown(v)}</td>' for v in row[:3])}<td>{marks[row[3]]}</td></tr>"
        for row in rows
    )
    return f"<table><tr><th>gate<th>bound<th>measured<th></tr>{body}</table>"


def _users(users: Mapping[str, Mapping[str, Any]]) -> str:
    names = ("calls", "completed", "failed", "wrong", "left", "refused_as_expected")
    spread = ("median_ttft_ms", "p99_ttft_ms", "median_e2el_ms", "p99_e2el_ms")
    rows = [(kind, *(own[name] for name in (*names, *spread))) for kind, own in users.items()]
    return _table(("users", *names, *spread), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f"<th>{escape(each)}" for each in head)
    body = "".join(f"<tr>{''.join(f'<td>{_shown(v)}</td>' for v in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return (
        f"{value:,.4g}"
        if isinstance(value, float)
        else escape(f"{value:,}" if isinstance(value, int) else str(value))
    )
