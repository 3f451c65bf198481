"""Values that can't work: each is refused with a sentence that names the value and the mend."""

from typing import Any

import pytest

from tests.chart.helm import Helm

ELSEWHERE = {"gpt": {"upstreams": [{"url": "https://llm.example"}]}}
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"redis": {"bundled": False}}, "redis.external.url", "set redis.bundled to true"),
    (
        {"redis": {"external": {"url": "redis://mine:6379"}}},
        "redis.external",
        "set redis.bundled to false",
    ),
    (
        {"redis": {"bundled": False, "external": {"url": "redis://:hush@mine:6379"}}},
        "redis.external.url",
        "passwordSecret",
    ),
    (
        {"redis": {"bundled": False, "external": {"url": "mine:6379"}}},
        "redis.external.url",
        "must begin with redis://",
    ),
    (
        {
            "redis": {
                "bundled": False,
                "external": {"url": "redis://mine", "urlSecret": {"name": "whole"}},
            }
        },
        "redis.external.urlSecret",
        "leave one of them out",
    ),
    (
        {
            "redis": {
                "bundled": False,
                "external": {"url": "redis://mine", "tls": {"secretName": "ca"}},
            }
        },
        "redis.external.tls.secretName",
        "begin it with rediss",
    ),
    (
        {"redis": {"bundled": False, "external": {"url": "redis://mine", "username": "r1"}}},
        "redis.external.username",
        "redis.external.passwordSecret.name",
    ),
    ({"redis": {"maxMemoryMiB": 2048}}, "redis.maxMemoryMiB", "raise it to 3072Mi"),
    ({"ray": {"redis": {"maxMemoryMiB": 2048}}}, "ray.redis.maxMemoryMiB", "raise it to 3072Mi"),
    ({"models": {"r1-nano": {"enabled": False}}}, "models", "there is none to serve"),
    ({"gateway": {"deepseekNames": "gpt"}}, "gateway.deepseekNames", "give one of r1-nano"),
    ({"test": {"model": "gpt"}}, "test.model", "give one of r1-nano"),
    (
        {"gateway": {"models": {"r1-nanno": {"aliases": ["a"]}}}},
        "gateway.models.r1-nanno",
        "mend its name (served here: r1-nano)",
    ),
    (
        {"gateway": {"models": {"r1-nano": {"timeouts": {"total_s": 9000}}}}},
        "gateway.models.r1-nano.timeouts.total_s",
        "raise longestAnswer",
    ),
    ({"gateway": {"models": ELSEWHERE}}, "networkPolicy.gatewayEgress", "allow them"),
    (
        {
            "gateway": {
                "models": {"gpt": {"upstreams": [{"url": "https://a", "key_file": "/etc/key"}]}}
            }
        },
        "gateway.models.gpt.upstreams.0.key_file: /etc/key",
        "gateway.pod.extraVolumes",
    ),
    (
        {"gateway": {"config": {"auth": {"pepper_file": "/etc/pepper"}}}},
        "gateway.config.auth.pepper_file",
        "gateway.pod.extraVolumes",
    ),
    (
        {"gateway": {"config": {"listen": {"drain_timeout_s": 60}}}},
        "gateway.config.listen.drain_timeout_s",
        "leave it out",
    ),
    (
        {"gateway": {"config": {"telemetry": {"otlp_endpoint": "http://otel:4318"}}}},
        "networkPolicy.gatewayEgress",
        "allow it",
    ),
    ({"gateway": {"rollingUpdate": {"maxSurge": 0}}}, "gateway.rollingUpdate", "raise maxSurge"),
    (
        {"gateway": {"autoscaling": {"minReplicas": 20}}},
        "gateway.autoscaling.minReplicas: 20",
        "lower it",
    ),
    (
        {"gateway": {"autoscaling": {"queueDepth": {"by": "keda"}}}},
        "gateway.autoscaling.queueDepth.prometheus",
        "give its URL",
    ),
    ({"gateway": {"service": {"nodePort": 30080}}}, "gateway.service.nodePort", "NodePort"),
    ({"gateway": {"ingress": {"enabled": True}}}, "gateway.ingress.hosts", "name a host"),
    ({"gateway": {"httpRoute": {"enabled": True}}}, "gateway.httpRoute.parentRefs", "name one"),
]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"runtimes": "plain"}, "runtimes"),
    ({"runtime": "ray"}, "/runtime"),
    ({"longestAnswer": 0}, "/longestAnswer"),
    ({"gateway": {"replica": 2}}, "replica"),
    ({"gateway": {"rollingUpdate": {"maxSurge": "one"}}}, "/gateway/rollingUpdate/maxSurge"),
    ({"gateway": {"config": {"limits": {"usage_day": 1}}}}, "usage_day"),
    ({"gateway": {"config": {"retry": {"attempts": 99}}}}, "/gateway/config/retry/attempts"),
    ({"gateway": {"config": {"store": {"url": "redis://x"}}}}, "url"),
    ({"gateway": {"models": {"r1-nano": {"cache": {"mode": "on"}}}}}, "cache/mode"),
    ({"image": {"digests": {"gateway": "sha256:1"}}}, "/image/digests/gateway"),
    ({"redis": {"external": {"password": "hush"}}}, "password"),
]


@pytest.mark.parametrize(("values", "name", "mend"), CASES, ids=[case[1] for case in CASES])
def test_it_names_the_value_and_the_mend(
    helm: Helm, values: dict[str, Any], name: str, mend: str
) -> None:
    (line,) = [each for each in helm.refused(**values).splitlines() if each.startswith(name)]
    assert mend in line


@pytest.mark.parametrize(("values", "where"), WRONG, ids=[case[1] for case in WRONG])
def test_the_schema_is_closed_and_knows_the_gateways_settings(
    helm: Helm, values: dict[str, Any], where: str
) -> None:
    assert where in helm.refused(**values)


def test_all_faults_are_told_at_once(helm: Helm) -> None:
    said = helm.refused(redis={"bundled": False}, gateway={"service": {"nodePort": 30080}})
    assert "redis.external.url" in said
    assert "gateway.service.nodePort" in said


def test_a_password_in_a_url_is_not_repeated(helm: Helm) -> None:
    external = {"url": "redis://:hush@mine:6379"}
    assert "hush" not in helm.refused(redis={"bundled": False, "external": external})
