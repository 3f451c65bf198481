"""The rules as they are rendered: complete, fresh, and reading only what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.observability import alerts, render, vocabulary
from scripts.observability.__main__ import main
from scripts.observability.dashboards.boards import BOARDS
from scripts.observability.values import (
    UnknownValue,
    defaults,
    filled,
    load,
    replaced,
    shortened,
    shortened_wait,
    strings,
)
from tests.unit.observability import promtool, sources
from tests.unit.observability.sources import read

RULES = [rule for group in render.templates() for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]


def test_rendered_files_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, "run python -m scripts.observability"


def test_a_stale_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = render.text(render.groups(defaults()))
    stale = render.RENDERED / "stale.yaml"
    monkeypatch.setattr(render, "files", lambda: {stale: text})
    assert main(["--check"]) == 1
    assert "stale.yaml" in capsys.readouterr().out
    assert not stale.exists()


@pytest.mark.parametrize("plain", [False, True])
def test_promtool_finds_no_fault(plain: bool, tmp_path: Path) -> None:
    for faster in (1, 60):
        path = tmp_path / f"{faster}.yaml"
        path.write_text(render.text(render.groups(defaults(), plain=plain, faster=faster)))
        promtool.run("check", "rules", path)


def groups(path: Path) -> list[Any]:
    told: list[Any] = yaml.load(render.files()[path], Loader=yaml.CSafeLoader)["groups"]
    return told


def test_the_charts_files_are_the_same_rules_with_places_for_values() -> None:
    own = groups(render.RENDERED / render.RULES)
    assert own == render.groups(defaults())
    chart = groups(render.CHART / render.RULES)
    assert strings(chart, lambda text: filled(text, defaults())) == own
    (plain,) = groups(render.CHART / render.PLAIN)
    (table,) = [group for group in own if group["name"] == alerts.THRESHOLDS]
    assert plain["name"] == alerts.PLAIN
    names = [rule["alert"] for rule in plain["rules"]]
    assert names == [rule["alert"] for rule in table["rules"]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("record") or rule["alert"])
def test_every_series_that_is_read_exists(rule: dict[str, Any]) -> None:
    assert read(rule["expr"]) <= sources.known()


def test_guarded_series_exist() -> None:
    guarded = {each for entry in load("guards.yaml") for each in entry["series"]}
    assert guarded <= sources.known()


def test_each_rule_reads_only_rules_above_it() -> None:
    made: set[str] = set()
    for rule in RULES:
        assert read(rule["expr"]) & sources.recorded() <= made, rule
        made.add(rule.get("record", ""))


@pytest.mark.parametrize(
    "entry",
    [entry for entry in load("exporters.yaml") if "installed" in entry],
    ids=lambda entry: str(entry["source"]),
)
def test_documented_series_are_in_what_is_installed(entry: dict[str, Any]) -> None:
    text = sources.installed(entry)
    for name in entry["series"]:
        # Both libraries add the endings themselves.
        bare = re.sub("_(bucket|sum|count)$", "", name)
        names = {bare, bare.removesuffix("_total")}
        assert any(re.search(rf'"(vllm:)?{each}"', text) for each in names), name


def test_every_exporters_series_is_read_by_a_rule_or_a_dashboard() -> None:
    found = {name for rule in RULES for name in read(rule["expr"])}
    assert sources.exported() <= found | sources.drawn()


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_all_that_it_should(rule: dict[str, Any]) -> None:
    words = rule["annotations"]
    assert rule["alert"].startswith("R1")
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(words) == {"summary", "description", "dashboard_url", "runbook_url"}
    assert "$value" in words["description"]
    board = words["dashboard_url"].partition("/d/")[2].partition("?")[0]
    assert board in {each.uid for each in BOARDS}
    assert words["runbook_url"].endswith(f"/{rule['alert']}.md")


def test_every_recorded_series_is_described() -> None:
    slos = {"r1:slo_error_ratio", "r1:slo_events:increase", "r1:slo_objective"}
    assert set(vocabulary.described()) == sources.recorded() - slos


def test_every_value_is_used_and_every_place_has_one() -> None:
    text = render.text(render.templates())
    used = set(re.findall(r"\$\{(\w+)\}", text))
    shown = {"memory_normal", "latency_normal_s", "gpu_normal_low", "gpu_normal_high"}
    assert used | shown == set(defaults())


def test_the_defaults_are_the_threshold_table() -> None:
    values = defaults()
    assert (values["memory_normal"], values["memory_high"]) == (0.75, 0.85)
    assert (values["latency_normal_s"], values["latency_high_s"]) == (0.5, 1)
    assert (values["gpu_low"], values["gpu_normal_low"]) == (0.3, 0.6)
    assert (values["gpu_normal_high"], values["gpu_high"]) == (0.9, 0.95)
    assert (values["batch_low_qps"], values["batch_low"]) == (10, 4)
    assert (values["batch_high_qps"], values["batch_high"]) == (100, 32)


def test_a_value_can_be_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--set", "memory_high=0.9"]) == 0
    printed = yaml.load(capsys.readouterr().out, Loader=yaml.CSafeLoader)["groups"]
    (rule,) = [
        rule
        for group in printed
        for rule in group["rules"]
        if rule.get("alert") == "R1GpuMemoryUsedHigh"
    ]
    assert rule["expr"] == "r1:kv_cache_used_ratio > 0.9"
    with pytest.raises(UnknownValue, match="'memory_hgih'"):
        replaced(["memory_hgih=1"])
    with pytest.raises(UnknownValue, match="nobody"):
        filled("x > ${nobody}", defaults())


def test_times_are_shortened_where_they_are_times() -> None:
    expr = 'rate(a{window="1h"}[30m]) offset 1d > 5'
    assert shortened(expr, 60) == 'rate(a{window="1h"}[30s]) offset 1440s > 5'
    assert shortened("a[1m]", 60) == "a[5s]"
    assert shortened_wait("10m", 60) == "10s"
