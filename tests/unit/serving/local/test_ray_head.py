from dataclasses import asdict

import pytest
from pydantic import ValidationError

from r1.stack.ports import plan_ports
from serving.local.config import LocalPlane, Ports
from serving.local.ray_head import head_command, ray_environment


def plane(base: int, **changes: object) -> LocalPlane:
    numbers = asdict(plan_ports(base))
    return LocalPlane.model_validate(
        {
            "temp_dir": f"/tmp/r1-{base}",
            "ports": {name: numbers[name] for name in Ports.model_fields},
            "longest_answer_s": 600,
            "applications": [{"model": "r1-nano", "arguments": {"hardware": "cpu"}}],
            **changes,
        }
    )


def test_two_planes_share_no_port_and_no_file() -> None:
    one, two = plane(20000), plane(20500)
    shared = set(head_command(one)) & set(head_command(two))
    same = {word for word in shared if "=" in word and any(map(str.isdigit, word))}
    assert same == {
        "--node-ip-address=127.0.0.1",
        "--num-cpus=64",
        "--num-gpus=0",
        "--object-store-memory=100000000",
    }
    first, second = ray_environment(one), ray_environment(two)
    for name in first:
        if "PORT" in name or "PATH" in name or "LOC" in name or "STATE" in name:
            assert first[name] != second[name], name


def test_direct_streaming_and_loopback_are_switched_on() -> None:
    environment = ray_environment(plane(20000))
    assert environment["RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING"] == "1"
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert environment["VLLM_HOST_IP"] == "127.0.0.1"


def test_a_folder_too_long_for_rays_sockets_is_refused() -> None:
    with pytest.raises(ValidationError, match="too long"):
        plane(20000, temp_dir="/" + "x" * 60)


def test_an_application_names_its_model_in_one_place() -> None:
    with pytest.raises(ValidationError, match="beside the arguments"):
        plane(20000, applications=[{"model": "r1-nano", "arguments": {"model": "r1-nano"}}])
