from dataclasses import replace
from pathlib import Path

import pytest

from gateway.settings import Settings
from r1.stack.configs import gateway_config, plane_config
from r1.stack.home import Home
from r1.stack.plan import ServedModel, StackPlan
from r1.stack.ports import plan_ports
from serving.app import parse
from serving.catalog import Catalog
from serving.local.config import LocalPlane
from serving.local.serve_config import serve_config

NANO = ServedModel("r1-nano", "/w/r1-nano", "default")
DISTILL = ServedModel("r1-distill-nano", None, "default")


def plan(home: Home, *models: ServedModel, base: int = 20000) -> StackPlan:
    return StackPlan(
        stack_id="20000-ab",
        home=str(home.path),
        base=base,
        models=models,
        temp_dir="/tmp/r1-x",
        gateway_workers=1,
        longest_answer_s=600.0,
        drain_s=60.0,
        foreground_pid=None,
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.of(20000, tmp_path)
    made.create()
    return made


def gateway_of(home: Home, *models: ServedModel) -> Settings:
    rendered = gateway_config(
        plan(home, *models), plan_ports(20000), home, Catalog.load(), "redis://:p@127.0.0.1:20004/0"
    )
    return Settings.model_validate(rendered)


def test_the_gateway_takes_what_is_rendered(home: Home) -> None:
    settings = gateway_of(home, NANO, DISTILL)
    assert (settings.listen.port, settings.admin.port) == (20000, 20001)
    assert [model.id for model in settings.models] == ["r1-nano", "r1-distill-nano"]
    assert settings.models[0].upstreams[0].url == "http://127.0.0.1:20003/r1-nano"
    assert settings.models[0].defaults.temperature == 0.6
    assert settings.models[0].defaults.top_p == 0.95


def test_the_gateway_finds_replicas_by_the_registry_and_wakes_them_by_serve(home: Home) -> None:
    (model,) = gateway_of(home, NANO).models
    assert model.discovery == "registry"
    assert model.discovery_key_file == model.upstreams[0].key_file
    assert model.batching is None


def test_a_model_that_sleeps_lets_callers_wait_for_its_start(home: Home) -> None:
    (model,) = gateway_of(home, replace(NANO, min_replicas=0)).models
    assert model.batching is not None
    assert model.batching.longest_wait_s == 600


@pytest.mark.parametrize(("least", "most"), [(2, 2), (0, 3)])
def test_replicas_are_a_number_or_bounds(home: Home, least: int, most: int) -> None:
    model = replace(NANO, min_replicas=least, max_replicas=most)
    plane = LocalPlane.model_validate(plane_config(plan(home, model), plan_ports(20000)))
    (application,) = serve_config(plane)["applications"]
    arguments = parse(application["args"])
    if least == most:
        assert (arguments.replicas, arguments.autoscaling) == (most, None)
    else:
        assert arguments.replicas is None
        assert arguments.autoscaling is not None
        assert (arguments.autoscaling.min_replicas, arguments.autoscaling.max_replicas) == (0, 3)


def test_the_first_model_answers_to_deepseeks_names(home: Home) -> None:
    both = gateway_of(home, NANO, DISTILL).models
    assert {"deepseek-r1", "deepseek-reasoner"} <= set(both[0].aliases)
    assert not {"deepseek-r1", "deepseek-reasoner"} & set(both[1].aliases)
    alone = gateway_of(home, DISTILL).models
    assert {"deepseek-r1", "deepseek-reasoner"} <= set(alone[0].aliases)


def test_a_models_prices_are_handed_on(home: Home) -> None:
    (model,) = gateway_of(home, ServedModel("deepseek-r1", None, "default")).models
    assert (model.prices.input_miss, model.prices.output) == (0.14, 2.19)
    (nano,) = gateway_of(home, NANO).models
    assert (nano.prices.input_miss, nano.prices.output) == (0.0, 0.0)


def test_no_secret_stands_in_the_configuration_itself(home: Home) -> None:
    rendered = gateway_config(
        plan(home, NANO), plan_ports(20000), home, Catalog.load(), "redis://127.0.0.1:20004/0"
    )
    text = str(rendered)
    for name in ("engine.key", "pepper", "admin.key"):
        assert home.secret_file(name).read_text() not in text


def test_the_model_plane_takes_what_is_rendered(home: Home) -> None:
    plane = LocalPlane.model_validate(plane_config(plan(home, NANO, DISTILL), plan_ports(20000)))
    assert [each.model for each in plane.applications] == ["r1-nano", "r1-distill-nano"]


def test_the_serving_application_takes_its_arguments(home: Home) -> None:
    parallel = ServedModel("r1-nano", "/w/r1-nano", "tp2-ep")
    plane = LocalPlane.model_validate(plane_config(plan(home, parallel), plan_ports(20000)))
    (application,) = serve_config(plane)["applications"]
    arguments = parse(application["args"])
    assert application["name"] == "r1-nano"
    assert application["route_prefix"] == "/r1-nano"
    assert application["import_path"] == "serving.app:build"
    assert (arguments.profile, arguments.weights) == ("tp2-ep", "/w/r1-nano")


def test_the_engines_of_a_plane_get_ports_of_their_own(home: Home) -> None:
    plane = LocalPlane.model_validate(plane_config(plan(home, NANO, DISTILL), plan_ports(20000)))
    applications = serve_config(plane)["applications"]
    first = [int(each["runtime_env"]["env_vars"]["VLLM_PORT"]) for each in applications]
    assert len(set(first)) == 2
    assert all(plane.ports.engine.first <= port <= plane.ports.engine.last for port in first)
