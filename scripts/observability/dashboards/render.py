"""Dashboards as the JSON that Grafana imports and provisions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from scripts.observability.dashboards.drawing import DATASOURCE, drawn
from scripts.observability.dashboards.model import Board
from scripts.observability.dashboards.series import NAMESPACES

TAG = "r1"
_ALL = models.VariableOption(selected=True, text="All", value="$__all")


def rendered(boards: Iterable[Board], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each dashboard by the name of its file.

    Args:
        boards: what to render.
        values: of deploy/observability/defaults.yaml, by name.
    """
    return {f"{board.uid}.json": _json(board, values) for board in boards}


def _json(board: Board, values: Mapping[str, Any]) -> str:
    return json.dumps(_built(board, values), cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n"


def _built(board: Board, values: Mapping[str, Any]) -> models.Dashboard:
    made = dashboard.Dashboard(board.title).uid(board.uid).description(board.about)
    made.tags([TAG]).readonly().time("now-1h", "now").refresh("30s").timezone("browser")
    made.tooltip(models.DashboardCursorSync.CROSSHAIR)
    made.link(
        dashboard.DashboardLink("r1")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )
    made.variables(_variables(board))
    for annotation in _annotations():
        made.annotation(annotation)
    number = 0
    for row in board.rows:
        number += 1
        made.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(drawn(panel, number, values))
    return made.build()


def _variables(board: Board) -> list[Builder[models.VariableModel]]:
    found: list[Builder[models.VariableModel]] = [
        dashboard.DatasourceVariable("datasource")
        .type("prometheus")
        .label("Metrics")
        .description("The Prometheus that scrapes r1.")
    ]
    if board.logs:
        found.append(
            dashboard.DatasourceVariable("logs")
            .type("loki")
            .label("Logs")
            .description("The Loki that has the pods' logs.")
        )
    here = 'namespace=~"$namespace"'
    return [
        *found,
        _choice("namespace", "Namespace", f"label_values({NAMESPACES}, namespace)"),
        _choice("model", "Model", f"label_values(r1_inflight_requests{{{here}}}, model)"),
        _choice("instance", "Instance", f"label_values({board.instances}{{{here}}}, instance)"),
    ]


def _choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": f"r1-{name}"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        # Matches series without the label too, as those of a stack outside Kubernetes.
        .all_value(".*")
        .current(_ALL)
    )


def _annotations() -> list[dashboard.AnnotationQuery]:
    here = 'namespace=~"$namespace|"'
    reloads = f"r1_config_reloads_total{{{here}}}"
    return [
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(DATASOURCE)
        .enable(True)
        .hide(False)
        .icon_color("red")
        .expr(f'ALERTS{{alertname=~"R1.*",alertstate="firing",severity!="info",{here}}}'),
        dashboard.AnnotationQuery()
        .name("Configuration read again")
        .datasource(DATASOURCE)
        .enable(True)
        .hide(False)
        .icon_color("blue")
        # A count that begins is a change too.
        .expr(f"sum({reloads}) - (sum({reloads} offset $__interval) or vector(0)) > 0"),
    ]
