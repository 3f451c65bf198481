"""Settings of NCCL, Gloo and the engine."""

import pytest

from serving.preflight.nccl import LOOKED_AT, engine_setting_findings, matches, nccl_findings

INTERFACES = ["eth0", "eth1", "ib0"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", True),
        ("eth", True),
        ("=eth", False),
        ("=eth0", True),
        ("^eth,ib", False),
        ("^eth", True),
        ("^=eth0", True),
        ("mlx", False),
        ("mlx,ib", True),
    ],
)
def test_names_as_nccl_reads_them(pattern: str, found: bool) -> None:
    assert matches(pattern, INTERFACES) is found


def test_a_port_after_a_device_is_left_out() -> None:
    assert matches("=mlx5_0:1", ["mlx5_0"])


def test_nothing_matters_to_a_single_rank() -> None:
    environment = {"NCCL_P2P_DISABLE": "1", "NCCL_SOCKET_IFNAME": "no", "NCCL_IB_DISABLE": "1"}
    found = nccl_findings(
        environment, ranks=1, several_nodes=False, interfaces=INTERFACES, devices=[]
    )
    assert list(found) == []


def test_interfaces_that_are_not_known_are_not_judged() -> None:
    environment = {"NCCL_SOCKET_IFNAME": "no"}
    assert list(nccl_findings(environment, ranks=8, several_nodes=True)) == []


def test_a_talkative_log_is_mentioned() -> None:
    (found,) = nccl_findings({"NCCL_DEBUG": "info"}, ranks=8, several_nodes=False)
    assert (found.severity, found.subject) == ("info", "NCCL_DEBUG")


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("VLLM_MOE_ROUTING_SIMULATION_STRATEGY", "error"),
        ("VLLM_ATTENTION_BACKEND", "warning"),
        ("VLLM_MOE_DP_CHUNK_SIZE", "warning"),
        ("VLLM_SERVER_DEV_MODE", "warning"),
    ],
)
def test_settings_of_the_engine(name: str, severity: str) -> None:
    (found,) = engine_setting_findings({name: "1"})
    assert (found.severity, found.subject) == (severity, name)
    assert found.mend


def test_no_secret_is_among_the_settings_that_are_read() -> None:
    assert not [name for name in LOOKED_AT if "KEY" in name or "TOKEN" in name]
