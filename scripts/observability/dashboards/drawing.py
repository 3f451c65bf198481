"""Panels as grafana-foundation-sdk wants them: one function for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    logs,
    loki,
    prometheus,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common as enums
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from scripts.observability.dashboards.model import BLUE, GREEN, Panel, Query

Drawn: TypeAlias = (
    timeseries.Panel
    | stat.Panel
    | bargauge.Panel
    | heatmap.Panel
    | statetimeline.Panel
    | table.Panel
    | text.Panel
    | logs.Panel
)

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
LOGS = models.DataSourceRef(type_val="loki", uid="${logs}")
_PLAIN = models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": BLUE})
KEEP = "${__url_time_range}&${namespace:queryparam}&${model:queryparam}&${datasource:queryparam}"
"""Time range and choices of a dashboard, for the link to another one."""


def drawn(panel: Panel, number: int, values: Mapping[str, Any]) -> Drawn:
    """Return the panel's builder.

    Args:
        panel: what to draw.
        number: its id, by which links find it.
        values: the numbers that colours change at, by name.
    """
    made = _DRAW[panel.kind](panel)
    made.id(number).title(panel.title).description(panel.about)
    made.span(panel.width).height(panel.height)
    if panel.board:
        made.links([_link(panel.board)])
    if isinstance(made, text.Panel):
        return made
    made.datasource(LOGS if panel.source == "loki" else DATASOURCE)
    made.targets([_target(panel, query, index) for index, query in enumerate(panel.queries)])
    if isinstance(made, logs.Panel):
        return made
    made.unit(panel.unit).no_value("no data").min(0)
    if panel.highest is not None:
        made.max(panel.highest)
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    if panel.names:
        made.mappings([_names(panel)])
    made.thresholds(_thresholds(panel, values))
    for name in panel.plain:
        made.override_by_name(name, [_PLAIN])
    return made


def _target(panel: Panel, query: Query, index: int) -> prometheus.Dataquery | loki.Dataquery:
    letter = chr(ord("A") + index)
    if panel.source == "loki":
        return loki.Dataquery().expr(query.expr).ref_id(letter).query_type("range")
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
    if panel.kind == "heatmap":
        return target.range().format(PromQueryFormat.HEATMAP)
    if panel.kind in ("bars", "table"):
        shape = PromQueryFormat.TABLE if panel.kind == "table" else PromQueryFormat.TIME_SERIES
        return target.instant().format(shape)
    # The dots of single requests, each a click away from its trace.
    return target.range().exemplar("_bucket" in query.expr)


def _lines(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().line_width(2).fill_opacity(8)
    made.show_points(enums.VisibilityMode.AUTO).span_nulls(False)
    made.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(enums.LegendDisplayMode.TABLE)
        .placement(enums.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
        .sort_by("Max")
        .sort_desc(True)
    )
    made.tooltip(
        common.VizTooltipOptions()
        .mode(enums.TooltipDisplayMode.MULTI)
        .sort(enums.SortOrder.DESCENDING)
    )
    made.color_scheme(_color(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    if panel.steps:
        style = common.GraphThresholdsStyleConfig().mode(enums.GraphTresholdsStyleMode.DASHED)
        made.thresholds_style(style)
    return made


def _stack(panel: Panel) -> Drawn:
    stacking = common.StackingConfig().mode(enums.StackingMode.NORMAL).group("A")
    return _lines(panel).fill_opacity(50).line_width(1).stacking(stacking)


def _stat(panel: Panel) -> Drawn:
    # Coloured only where the colour says something.
    whole = panel.steps or panel.names
    color = enums.BigValueColorMode.BACKGROUND if whole else enums.BigValueColorMode.NONE
    made = stat.Panel().color_mode(color).graph_mode(enums.BigValueGraphMode.AREA)
    many = len(panel.queries) > 1
    shown = enums.BigValueTextMode.VALUE_AND_NAME if many else enums.BigValueTextMode.VALUE
    return made.text_mode(shown).reduce_options(_last()).color_scheme(_by_threshold())


def _bars(panel: Panel) -> Drawn:
    made = bargauge.Panel().orientation(enums.VizOrientation.HORIZONTAL)
    made.display_mode(enums.BarGaugeDisplayMode.BASIC).reduce_options(_last())
    return made.color_scheme(_by_threshold())


def _heatmap(panel: Panel) -> Drawn:
    color = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    axis = heatmap.YAxisConfig().unit(panel.unit)
    return heatmap.Panel().calculate(False).color(color).y_axis(axis).show_legend().show_tooltip()


def _states(panel: Panel) -> Drawn:
    made = statetimeline.Panel().show_value(enums.VisibilityMode.NEVER).merge_values(True)
    return made.row_height(0.8).fill_opacity(85).color_scheme(_by_threshold())


def _table(panel: Panel) -> Drawn:
    # Columns that say nothing to whoever looks for a fault.
    hidden: dict[str, object] = {
        "excludeByName": dict.fromkeys(("Time", "Value", "__name__", "alertstate", "job"), True)
    }
    made = table.Panel().show_header(True)
    return made.with_transformation(models.DataTransformerConfig("organize", options=hidden))


def _text(panel: Panel) -> Drawn:
    return text.Panel().mode(TextMode.MARKDOWN).content(panel.content)


def _logs(panel: Panel) -> Drawn:
    made = logs.Panel().show_time(True).wrap_log_message(True).enable_log_details(True)
    return made.sort_order(enums.LogsSortOrder.DESCENDING)


_DRAW = {
    "lines": _lines,
    "stack": _stack,
    "stat": _stat,
    "bars": _bars,
    "heatmap": _heatmap,
    "states": _states,
    "table": _table,
    "text": _text,
    "logs": _logs,
}


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().values(False).calcs(["lastNotNull"])


def _color(mode: models.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def _by_threshold() -> dashboard.FieldColor:
    return _color(models.FieldColorModeId.THRESHOLDS)


def _thresholds(panel: Panel, values: Mapping[str, Any]) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(_number(step.value, values), step.color) for step in panel.steps]
    # Grafana's own default has red from 80 on, which means nothing here.
    steps = steps or [models.Threshold(None, GREEN)]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _number(given: float | str | None, values: Mapping[str, Any]) -> float | None:
    return float(values[given]) if isinstance(given, str) else given


def _names(panel: Panel) -> models.ValueMap:
    named = enumerate(panel.names)
    return models.ValueMap(
        {
            str(value): models.ValueMappingResult(text=name, color=color, index=index)
            for index, (value, name, color) in named
        }
    )


def _link(uid: str) -> dashboard.DashboardLink:
    made = dashboard.DashboardLink("Details").type(models.DashboardLinkType.LINK)
    return made.url(f"/d/{uid}?{KEEP}")
