import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from r1.stack.ports import plan_ports
from serving.local.config import LocalPlane, Ports
from serving.local.ray_head import head_command, ray_environment
from serving.own_ray import write_token


def plane(base: int, **changes: object) -> LocalPlane:
    return LocalPlane.model_validate(
        {
            "temp_dir": f"/tmp/r1-{base}",
            "ports": plan_ports(base).model_dump(include=set(Ports.model_fields)),
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


def test_only_the_stacks_own_processes_are_let_in(tmp_path: Path) -> None:
    ours = plane(20000).model_copy(update={"temp_dir": tmp_path})
    variables = ray_environment(ours)
    assert variables["RAY_AUTH_MODE"] == "token"
    write_token(tmp_path)
    file = Path(variables["RAY_AUTH_TOKEN_PATH"])
    first = file.read_text()
    assert (len(first), stat.S_IMODE(file.stat().st_mode)) == (64, 0o600)
    write_token(tmp_path)
    assert file.read_text() != first


def test_ray_knows_the_gpus_that_the_models_take() -> None:
    assert "--num-gpus=8" in head_command(plane(20000, gpus=8))
