"""Who may have another model's answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import pytest

from gateway.auth.keys import KeyRecord
from gateway.auth.terms import Terms
from gateway.config import ConfigError, validate
from gateway.errors import InvalidRequest
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.upstream.fallback import allowed, is_willing

Policy = Literal["never", "caller", "always"]


@pytest.mark.parametrize(
    ("policy", "wish", "willing"),
    [
        ("never", None, False),
        ("never", "allow", False),
        ("caller", None, False),
        ("caller", "allow", True),
        ("caller", "deny", False),
        ("always", None, True),
        ("always", "allow", True),
        ("always", "deny", False),
    ],
)
def test_policy_and_wish(policy: Policy, wish: str | None, willing: bool) -> None:
    upstream = UpstreamSettings(url="http://a")
    settings = ModelSettings(id="m", upstreams=(upstream,), fallback_policy=policy)
    assert is_willing(settings, wish) is willing
    with pytest.raises(InvalidRequest) as error:
        is_willing(settings, "perhaps")
    assert error.value.param == "x-r1-fallback"


def test_a_key_for_some_models_gets_answers_of_these_only() -> None:
    def may(models: tuple[str, ...], name: str) -> bool:
        key = KeyRecord("key_1", "n", "t", 0, "r1-abcd…", None, Terms(models=models))
        call: Any = SimpleNamespace(key=key)
        upstream = UpstreamSettings(url="http://a")
        settings = ModelSettings(id=name, aliases=("other",), upstreams=(upstream,))
        model: Any = SimpleNamespace(settings=settings)
        return allowed(call, model)

    assert may(("a", "b"), "b")
    assert may(("other",), "b")
    assert not may(("a", "b"), "c")
    assert may((), "c")


@pytest.mark.parametrize(
    ("chains", "message"),
    [
        ({"a": ["x"], "b": []}, "models.0.fallbacks: 'x' is no model's id; give one of a, b"),
        ({"a": [], "b": ["b"]}, "models.1.fallbacks: they lead back to 'b'"),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, "models.1.fallbacks: they lead back to 'b'"),
    ],
)
def test_chains_that_end_nowhere_are_refused(chains: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match="^" + message.replace(".", r"\.")):
        validate(configuration(chains))


def test_two_models_may_share_a_fallback() -> None:
    validate(configuration({"a": ["b", "c"], "b": ["c"], "c": []}))


def configuration(chains: dict[str, list[str]]) -> dict[str, Any]:
    models = [
        {"id": name, "fallbacks": chain, "upstreams": [{"url": "http://a"}]}
        for name, chain in chains.items()
    ]
    return {"auth": {"pepper_file": "x"}, "models": models}
