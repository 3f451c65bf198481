"""docs/api.md tells of everything that there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from gateway import errors
from gateway.errors import GatewayError
from gateway.protocol.request import STRIPPED
from gateway.settings import Settings
from gateway.telemetry.families import Family
from gateway.telemetry.metrics import FAMILIES

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_metrics(family: Family) -> None:
    (line,) = [each for each in PAGE.splitlines() if f"| `{family.name}` |" in each]
    assert all(f"`{label}`" in line for label in family.labels)


def test_error_codes_and_removed_fields() -> None:
    tree = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.code for each in tree if issubclass(each, GatewayError)}
    ours = {"return_token_ids", "include_reasoning"}
    for word in codes | STRIPPED | ours:
        assert f"`{word}" in PAGE, word


def test_the_example_has_every_field_and_is_valid() -> None:
    text = PAGE.split("```yaml\n")[1].split("```")[0]
    data = yaml.safe_load(text)
    settings = Settings.model_validate(data)
    assert settings.models[0].id == "r1-nano"

    def names(model: BaseModel, given: Any) -> None:
        assert set(given) == set(type(model).model_fields)
        for name, value in given.items():
            inner = getattr(model, name)
            if isinstance(inner, tuple) and inner and isinstance(inner[0], BaseModel):
                names(inner[0], value[0])
            elif isinstance(inner, BaseModel):
                names(inner, value)

    names(settings, data)


def test_the_example_gives_the_defaults() -> None:
    data = yaml.safe_load(PAGE.split("```yaml\n")[1].split("```")[0])
    least = {"auth": {"pepper_file": "x"}, "models": data["models"]}
    plain = Settings.model_validate(least)
    given = Settings.model_validate(data)
    assert plain.listen == given.listen
    assert plain.store == given.store
    assert plain.telemetry == given.telemetry
    assert plain.models[0].timeouts == given.models[0].timeouts
