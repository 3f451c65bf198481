"""Dashboards that a tired person can read, and that Grafana takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from scripts.observability.dashboards.boards import BOARDS
from scripts.observability.dashboards.model import WIDTH, Board, Panel
from scripts.observability.dashboards.reading import CHOICES, Times, read
from scripts.observability.dashboards.render import rendered
from scripts.observability.promql import selectors
from scripts.observability.values import defaults
from tests.unit.observability import sources

MADE = {name: json.loads(text) for name, text in rendered(BOARDS, defaults()).items()}
UIDS = {board.uid for board in BOARDS}
PANELS = [
    pytest.param(panel, id=f"{board.uid}/{panel.title}")
    for board in BOARDS
    for panel in board.panels
]


def drawn(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in board["panels"] if panel["type"] != "row")


def test_these_are_the_dashboards() -> None:
    assert [board.uid for board in BOARDS] == [
        "r1-overview",
        "r1-requests",
        "r1-latency",
        "r1-cache",
        "r1-batching",
        "r1-upstreams",
        "r1-engine",
        "r1-gpus",
        "r1-autoscaling",
        "r1-cost",
        "r1-logs",
    ]


@pytest.mark.parametrize("board", MADE.values(), ids=MADE)
def test_grafanas_own_model_reads_it_without_loss(board: dict[str, Any]) -> None:
    read_back = Dashboard.from_json(board)
    assert json.loads(json.dumps(read_back, cls=JSONEncoder)) == board


@pytest.mark.parametrize("board", MADE.values(), ids=MADE)
def test_what_grafana_does_not_check(board: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert 0 not in numbers
    assert "id" not in board
    assert board["schemaVersion"] >= 36
    assert board["editable"] is False
    names = [each["name"] for each in board["templating"]["list"] if each["name"] != "logs"]
    assert names == ["datasource", "namespace", "model", "instance"]
    assert any(link["type"] == "dashboards" and link["includeVars"] for link in board["links"])
    for panel in drawn(board):
        if panel["type"] != "text":
            assert panel["datasource"]["uid"] in ("${datasource}", "${logs}")
            letters = [target["refId"] for target in panel["targets"]]
            assert len(set(letters)) == len(letters) > 0


@pytest.mark.parametrize("board", MADE.values(), ids=MADE)
def test_panels_lie_side_by_side(board: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= WIDTH for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_says_what_it_means(panel: Panel) -> None:
    assert 3 <= len(panel.title) <= 40
    assert len(panel.about) >= 20
    assert panel.about.endswith((".", ":"))
    assert panel.unit
    assert panel.queries or panel.content
    assert panel.board in {"", *UIDS}


@pytest.mark.parametrize("panel", PANELS)
def test_every_series_has_a_name(panel: Panel) -> None:
    """A legend that repeats PromQL is one that nobody reads."""
    if panel.kind in ("table", "text", "logs"):
        return
    for query in panel.queries:
        grouped = re.match(r"(?:topk\(10, )?\(?\w+ by \(([^)]*)\)", query.expr)
        told = set(re.findall(r"{{(\w+)}}", query.legend))
        if grouped:
            assert told == {each.strip() for each in grouped[1].split(",")}
        several = len(panel.queries) > 1 or panel.kind in ("lines", "stack", "bars", "states")
        assert query.legend or not several
    legends = [query.legend for query in panel.queries]
    assert len(set(legends)) == len(legends)


@pytest.mark.parametrize("panel", PANELS)
def test_every_query_is_of_the_chosen_namespaces(panel: Panel) -> None:
    for query in panel.queries:
        reads = selectors(query.expr) if panel.source == "prometheus" else [query.expr]
        assert all('namespace=~"$namespace' in each for each in reads)


def test_thresholds_are_those_of_the_table() -> None:
    """The four figures change colour where the table says, and with a value that is replaced."""

    def steps(values: dict[str, Any], title: str) -> list[float | None]:
        overview = json.loads(rendered(BOARDS, values)["r1-overview.json"])
        panel = next(each for each in drawn(overview) if each["title"] == title)
        found = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        return [step["value"] for step in found]

    assert steps(defaults(), "First token, p95") == [None, 0.5, 1]
    assert steps(defaults(), "Memory used") == [None, 0.75, 0.85]
    assert steps(defaults(), "GPU utilisation") == [None, 0.3, 0.6, 0.9, 0.95]
    assert steps(defaults(), "Load and batch window") == [None, 10, 100]
    assert steps({**defaults(), "memory_high": 0.9}, "Memory used") == [None, 0.75, 0.9]


def test_every_series_exists_somewhere() -> None:
    """In our code, in a recording rule, or in what exporters document: a renamed one does not."""
    asked = {
        name
        for board in BOARDS
        for query in prometheus_queries(board)
        for name in sources.read(query)
    }
    assert asked - sources.known() == set()


def test_choices_and_times_are_filled_in() -> None:
    times = Times(rate_interval="20s", interval="5s", range="10m")
    told = 'rate(x{namespace=~"$namespace"}[$__rate_interval]) + y[$__range] + z[$__interval]'
    filled = times.filled(told, {**CHOICES, "namespace": "r1"})
    assert filled == 'rate(x{namespace=~"r1"}[20s]) + y[10m] + z[5s]'


def test_everything_that_prometheus_is_asked_is_read(tmp_path: Any) -> None:
    for name, text in rendered(BOARDS, defaults()).items():
        (tmp_path / name).write_text(text)
    asked = read(tmp_path)
    boards = sorted(BOARDS, key=lambda board: board.uid)
    queries = [query for board in boards for query in prometheus_queries(board)]
    assert [each.expr for each in asked if each.kind not in ("variable", "annotation")] == queries
    variables = {each.title for each in asked if each.kind == "variable"}
    assert variables == {"namespace", "model", "instance"}
    assert "vllm:num_requests_running" in "".join(each.expr for each in asked)


def prometheus_queries(board: Board) -> list[str]:
    return [
        query.expr
        for panel in board.panels
        if panel.source == "prometheus"
        for query in panel.queries
    ]
