"""What alerts count is there, at zero, before the first fault."""

import re
from typing import get_args

from prometheus_client.parser import text_string_to_metric_families

from gateway import errors
from gateway.canary.policy import Finding
from gateway.errors import GatewayError
from gateway.telemetry.exposition import render
from gateway.telemetry.families import Meter
from gateway.telemetry.metrics import FAMILIES, Metrics
from gateway.telemetry.sheet import Sheet, SheetFiles, make_files, read
from gateway.telemetry.zeros import CANARY_OUTCOMES, FAULTY_CODES, FAULTY_ENDINGS
from scripts.observability.values import load

TREE = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, GatewayError)
]


def shown(files: SheetFiles, family: str, label: str) -> dict[str, float]:
    text = render(FAMILIES, [read(files)])
    return {
        sample.labels[label]: sample.value
        for each in text_string_to_metric_families(text)
        for sample in each.samples
        if sample.name == family
    }


def test_a_gateway_begins_with_no_reload_of_any_kind() -> None:
    files = make_files()
    metrics = Metrics(Meter(Sheet(files)))
    none = {"ok": 0.0, "refused": 0.0, "failed": 0.0}
    assert shown(files, "r1_config_reloads_total", "result") == none
    metrics.config_reloaded("refused")
    assert shown(files, "r1_config_reloads_total", "result") == {**none, "refused": 1}


def test_a_model_begins_with_no_fault() -> None:
    files = make_files()
    metrics = Metrics(Meter(Sheet(files)))
    metrics.begin("m")
    metrics.begin("m")
    codes = shown(files, "r1_requests_total", "code")
    assert codes == dict.fromkeys(FAULTY_CODES, 0.0)
    endings = shown(files, "r1_stream_endings_total", "reason")
    assert endings == dict.fromkeys(FAULTY_ENDINGS, 0.0)


def test_another_api_does_when_it_is_first_called() -> None:
    files = make_files()
    metrics = Metrics(Meter(Sheet(files)))
    metrics.request_done("messages", "m", 200, 0.1)
    codes = shown(files, "r1_requests_total", "code")
    assert codes == {**dict.fromkeys(FAULTY_CODES, 0.0), "200": 1}


def test_a_replica_does_when_the_canary_first_asks_it() -> None:
    files = make_files()
    metrics = Metrics(Meter(Sheet(files)))
    metrics.canary_asked("m", "replica-1", "alone")
    outcomes = shown(files, "r1_canary_checks_total", "outcome")
    assert outcomes == {**dict.fromkeys(CANARY_OUTCOMES, 0.0), "alone": 1}
    assert set(CANARY_OUTCOMES) == {*get_args(Finding), "failed"}


def test_the_endings_are_those_that_the_objective_calls_bad() -> None:
    (streams,) = [each for each in load("slos.yaml")["slos"] if each["slo"] == "streams"]
    bad = re.search('reason=~"(.+)"', streams["bad"])
    assert bad is not None
    codes = {each.code for each in TREE} | {"unknown"}
    assert {code for code in codes if re.fullmatch(bad[1], code)} == set(FAULTY_ENDINGS)


def test_the_codes_are_all_that_the_gateway_answers_with() -> None:
    assert {str(each.status) for each in TREE if each.status >= 500} == set(FAULTY_CODES)
