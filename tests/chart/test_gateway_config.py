"""The configuration that the chart writes is one that the gateway takes, and as it was meant."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import apply_environment, validate
from gateway.settings import Settings
from gateway.store.address import parse
from serving.catalog import Catalog
from tests.chart.helm import VALUES, Document, Helm, one

FILES = [pytest.param((), id="default")] + [
    pytest.param((file,), id=f"{file.parent.name}-{file.stem}") for file in VALUES
]


def settings(documents: list[Document]) -> Settings:
    """As the gateway reads it: the file, and the variables of its container."""
    name = next(d["metadata"]["name"] for d in documents if d["kind"] == "Deployment")
    text = one(documents, "ConfigMap", name)["data"]["gateway.yaml"]
    data = yaml.safe_load(text)
    return validate(data, apply_environment(data, environment(documents)))


def environment(documents: list[Document]) -> Mapping[str, str]:
    """The container's variables, with `secret` for whatever comes from a Secret."""
    (container,) = one(documents, "Deployment", "r1-gateway")["spec"]["template"]["spec"][
        "containers"
    ]
    found: dict[str, str] = {}
    for each in container["env"]:
        value = each.get("value", "secret")
        for name, known in found.items():
            value = value.replace(f"$({name})", known)
        found[each["name"]] = value
    return found


@pytest.mark.parametrize("files", FILES)
def test_the_gateway_takes_it(helm: Helm, files: tuple[Path, ...]) -> None:
    documents = [d for d in helm.render(*files) if d["metadata"]["name"] in ("r1-gateway",)]
    assert settings(documents).models


def made(helm: Helm, **values: Any) -> Settings:
    documents = helm.render(**values)
    return settings([d for d in documents if d["metadata"]["name"] == "r1-gateway"])


def test_a_model_has_what_the_catalog_knows(helm: Helm) -> None:
    models = {"deepseek-r1": {"hardware": "8xh200"}, "r1-nano": {"enabled": False}}
    (model,) = made(helm, models=models).models
    known = Catalog.load().resolve("deepseek-r1")
    assert model.id == known.id
    assert set(known.aliases) <= set(model.aliases)
    assert model.context_length == known.context.served
    assert known.prices is not None
    assert model.prices.output == known.prices.output
    assert model.defaults.temperature == known.sampling.temperature
    assert model.discovery == "registry"
    assert [each.url for each in model.upstreams] == ["http://r1-serve:8000/deepseek-r1"]


def test_the_largest_answers_to_deepseeks_names(helm: Helm) -> None:
    models = {"deepseek-r1-distill-qwen-7b": {"hardware": "1xl4"}, "r1-nano": {"hardware": "cpu"}}
    named = {model.id: model.aliases for model in made(helm, models=models).models}
    assert {"deepseek-r1", "deepseek-reasoner"} <= set(named["deepseek-r1-distill-qwen-7b"])
    assert "deepseek-reasoner" not in named["r1-nano"]
    chosen = made(helm, models=models, gateway={"deepseekNames": "r1-nano"}).models
    assert "deepseek-r1" in {model.id: model.aliases for model in chosen}["r1-nano"]


def test_an_alias_that_is_another_models_id_is_left_to_it(helm: Helm) -> None:
    models = {"deepseek-r1": {"hardware": "8xh200"}, "deepseek-r1-zero": {"hardware": "8xh200"}}
    gateway = {"deepseekNames": "deepseek-r1-zero"}
    aliases = {m.id: m.aliases for m in made(helm, models=models, gateway=gateway).models}
    assert "deepseek-r1" not in aliases["deepseek-r1-zero"]


def test_who_waits_for_a_model_that_sleeps_waits_long_enough(helm: Helm) -> None:
    models = {"r1-nano": {"hardware": "cpu", "autoscaling": {"min": 0, "max": 2}}}
    (model,) = made(helm, models=models, longestAnswer=600).models
    assert model.batching is not None
    assert model.batching.longest_wait_s == 600


def test_values_win_over_the_charts_settings(helm: Helm) -> None:
    gateway = {
        "config": {"limits": {"usage_days": 90}, "listen": {"max_body_bytes": 8388608}},
        "models": {"r1-nano": {"aliases": ["sums"], "cache": {"mode": "off"}}},
    }
    found = made(helm, gateway=gateway)
    assert (found.limits.usage_days, found.listen.max_body_bytes) == (90, 8388608)
    assert found.models[0].aliases == ("sums",)
    assert found.models[0].cache.mode == "off"


def test_models_elsewhere_stand_beside_those_of_the_release(helm: Helm) -> None:
    gateway = {"models": {"gpt": {"upstreams": [{"url": "http://llm", "dialect": "openai"}]}}}
    found = made(helm, gateway=gateway, networkPolicy={"enabled": False}, longestAnswer=60)
    assert [model.id for model in found.models] == ["r1-nano", "gpt"]
    assert found.models[1].timeouts.total_s == 60


def test_the_stores_url_is_put_together_from_a_secret(helm: Helm) -> None:
    store = made(helm, redis={"cache": {"bundled": True}}).store
    assert store.url == "redis://:secret@r1-redis:6379/0"
    assert store.cache_url == "redis://:secret@r1-redis-cache:6379/0"


def test_an_external_store_by_sentinels_with_tls(helm: Helm) -> None:
    external = {
        "url": "rediss+sentinel://a:26379,b:26379/r1/0?sentinel_username=me",
        "username": "r1",
        "passwordSecret": {"name": "redis-user"},
        "tls": {"secretName": "redis-tls"},
    }
    address = parse(made(helm, redis={"bundled": False, "external": external}).store.url)
    assert (address.kind, address.tls, address.master) == ("sentinel", True, "r1")
    assert address.options["username"] == "r1"
    assert address.options["password"] == "secret"
    assert address.files() == {"ssl_ca_certs": "/etc/r1/redis-tls/ca.crt"}


def test_a_store_without_a_password(helm: Helm) -> None:
    external = {"url": "redis+cluster://a:6379,b:6379"}
    store = made(helm, redis={"bundled": False, "external": external}).store
    assert store.url == "redis+cluster://a:6379,b:6379"


def test_the_whole_url_from_a_secret(helm: Helm) -> None:
    redis = {"bundled": False, "external": {"urlSecret": {"name": "managed"}}}
    documents = helm.render(redis=redis)
    assert environment(documents)["R1_GATEWAY__STORE__URL"] == "secret"
