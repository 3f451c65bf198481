import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1.stack.ports import BLOCK, HIGHEST_BASE, LOWEST_BASE, PortPlan, plan_ports
from serving.local.config import Range

EPHEMERAL_FIRST = 32768


def every_port(plan: PortPlan) -> list[int]:
    ports = list(plan.single_ports().values())
    for _, value in plan:
        if isinstance(value, Range):
            ports += range(value.first, value.last + 1)
    return ports


def test_the_default_plan_has_the_documented_ports() -> None:
    plan = plan_ports()
    assert (plan.api, plan.admin, plan.telemetry, plan.serve) == (8080, 8081, 8082, 8000)
    assert plan.replicas == Range(first=30000, last=31000)


def test_the_default_plan_leaves_outgoing_connections_their_ports() -> None:
    assert max(every_port(plan_ports())) < EPHEMERAL_FIRST


@given(st.integers(LOWEST_BASE, HIGHEST_BASE))
def test_no_port_is_planned_twice(base: int) -> None:
    ports = every_port(plan_ports(base))
    assert len(ports) == len(set(ports))


@given(st.integers(LOWEST_BASE, HIGHEST_BASE).filter(lambda base: base != 8080))
def test_a_base_keeps_all_its_ports_in_its_block(base: int) -> None:
    assert all(base <= port < base + BLOCK for port in every_port(plan_ports(base)))


@given(st.integers(LOWEST_BASE, HIGHEST_BASE - BLOCK))
def test_neighbouring_stacks_never_meet(base: int) -> None:
    if 8080 in (base, base + BLOCK):
        return
    first, second = every_port(plan_ports(base)), every_port(plan_ports(base + BLOCK))
    assert not set(first) & set(second)


def test_redis_own_port_is_not_in_the_default_plan() -> None:
    assert 6379 not in every_port(plan_ports())


@pytest.mark.parametrize("base", [0, 80, 1023, 65035 + 1, 70000])
def test_a_base_without_room_is_refused_with_a_reason(base: int) -> None:
    with pytest.raises(ValueError, match="--port-base must be between"):
        plan_ports(base)


def test_single_ports_leave_out_the_base_and_the_ranges() -> None:
    names = plan_ports(20000).single_ports()
    assert "base" not in names
    assert "replicas" not in names
    assert (
        len(names)
        == sum(isinstance(value, int) for value in plan_ports().model_dump().values()) - 1
    )
