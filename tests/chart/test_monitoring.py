"""What Prometheus and Grafana get."""

import re
from typing import Any

from scripts.observability.render import groups as rules
from scripts.observability.values import defaults
from tests.chart.helm import CHART, Document, Helm, one

ON: dict[str, Any] = {
    each: {"enabled": True}
    for each in ("serviceMonitor", "podMonitor", "scrapeConfig", "rules", "dashboards")
}
RULES = sorted((CHART / "files" / "observability").glob("*rules*.yaml"))
DASHBOARDS = sorted((CHART / "files" / "observability" / "dashboards").glob("*.json"))


def rendered(helm: Helm, **monitoring: Any) -> list[Document]:
    return helm.render(monitoring={**ON, **monitoring})


def test_engines_are_found_where_the_model_plane_lists_them(helm: Helm) -> None:
    documents = rendered(helm)
    spec = one(documents, "ScrapeConfig", "r1-engines")["spec"]
    assert [each["url"] for each in spec["httpSDConfigs"]] == [
        "http://r1-telemetry.models.svc:8082/replicas"
    ]
    assert {each["targetLabel"]: each["replacement"] for each in spec["relabelings"]} == {
        "job": "r1-engines",
        "namespace": "models",
    }
    service = one(documents, "Service", "r1-telemetry")["spec"]
    assert service["selector"]["app.kubernetes.io/component"] == "ray-head"


def test_the_gateways_metrics_are_on_their_admin_port(helm: Helm) -> None:
    (endpoint,) = one(rendered(helm), "ServiceMonitor", "r1-gateway")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("admin", "/metrics")


def test_objects_have_the_labels_by_which_operators_find_them(helm: Helm) -> None:
    for each in rendered(helm, labels={"release": "prometheus"}):
        if each["apiVersion"].startswith("monitoring.coreos.com/"):
            assert each["metadata"]["labels"]["release"] == "prometheus"


def test_nothing_of_it_is_there_by_default(helm: Helm) -> None:
    kinds = {each["kind"] for each in helm.render()}
    assert not kinds & {"ServiceMonitor", "PodMonitor", "ScrapeConfig", "PrometheusRule"}


def test_every_file_of_rules_is_an_object_with_its_numbers_filled_in(helm: Helm) -> None:
    found = [each for each in rendered(helm) if each["kind"] == "PrometheusRule"]
    assert len(found) == len(RULES)
    for each in found:
        assert each["spec"]["groups"]
        assert not re.search(r"\$\{[a-z_]+\}", str(each))


def groups(helm: Helm, **given: Any) -> list[Any]:
    """The groups of rules that an installation gets."""
    documents = rendered(helm, rules={"enabled": True, **given})
    (found,) = [each for each in documents if each["kind"] == "PrometheusRule"]
    told: list[Any] = found["spec"]["groups"]
    return told


def test_the_charts_rules_are_those_of_compose_with_the_releases_names(helm: Helm) -> None:
    here = {"namespaces": "models", "jobs": "(.+/)?r1-.+"}
    assert groups(helm) == rules({**defaults(), **here})
    other = {"memory_high": 0.9}
    assert groups(helm, values=other) == rules({**defaults(), **here, **other})


def test_the_threshold_table_can_be_read_plainly(helm: Helm) -> None:
    told = groups(helm, plain=True)
    here = {**defaults(), "namespaces": "models", "jobs": "(.+/)?r1-.+"}
    assert sorted(told, key=str) == sorted(rules(here, plain=True), key=str)


def test_a_value_that_no_rule_knows_is_refused(helm: Helm) -> None:
    said = helm.refused(monitoring={"rules": {"enabled": True, "values": {"memory_hgih": 1}}})
    assert "monitoring.rules.values.memory_hgih: no rule knows this value" in said
    assert "memory_high" in said


def test_every_dashboard_is_a_configmap_for_grafanas_sidecar(helm: Helm) -> None:
    found = [
        each
        for each in rendered(helm)
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
    ]
    assert sorted(name for each in found for name in each["data"]) == [d.name for d in DASHBOARDS]
    for each in found:
        assert len(str(each)) < 900_000, "a ConfigMap holds 1 MiB at most"
