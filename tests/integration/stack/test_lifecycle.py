"""The life of a real stack with one model: start, deaths of its parts, every way to end."""

import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from r1.stack.processes import descendants, is_running, name_of
from tests.integration.conftest import weights_words
from tests.integration.local_stack import LocalStack, free_base, wait_for

MODEL = "r1-distill-nano"
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A detached stack with one model, for the tests of this file in their order."""
    made = LocalStack(
        free_base(), tmp_path_factory.mktemp("state"), "--models", MODEL, *weights_words()
    )
    try:
        started = made.start_detached()
        assert started.returncode == 0, started.stdout + started.stderr
        key = re.search(r"export OPENAI_API_KEY=(\S+)", started.stdout)
        assert key is not None
        assert key[1] == made.key
        yield made
    finally:
        made.stop()


def engine_core(stack: LocalStack) -> int:
    """The pid of the model's engine core."""
    (pid,) = [
        pid
        for pid in descendants(stack.status.supervisor_pid)
        if name_of(pid).startswith("VLLM::EngineCore")
    ]
    return pid


def test_a_detached_start_returns_when_the_stack_answers(one: LocalStack) -> None:
    assert one.ask("1 + 1", max_tokens=4)["model"] == MODEL
    assert one.r1("status").returncode == 0
    assert f"export OPENAI_BASE_URL={one.base_url}" in one.r1("env").stdout
    assert MODEL in one.r1("models").stdout
    assert one.r1("chat", "--max-tokens", "8", "1 + 1").returncode == 0
    seen = one.r1("top", "--once", "--interval", "0.5").stdout
    assert re.search(rf"^{MODEL} +1/1 ", seen, re.MULTILINE), seen
    assert re.search(r"^memory .* [0-9]+%$", seen, re.MULTILINE), seen


def test_its_replica_was_asked_the_canary_and_gave_its_numbers(one: LocalStack) -> None:
    # It is the only one and nothing was recorded: there is nothing to compare it with.
    wait_for("a round", lambda: "alone" in one.r1("canary", "show").stdout)
    assert one.r1("canary", "record", MODEL).returncode == 0
    assert re.search(r"right, drift 0\.0", one.r1("canary", "show").stdout)


def test_the_telemetry_port_tells_of_the_node(one: LocalStack) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{one.ports.telemetry}/metrics") as answer:
        text = answer.read().decode()
    used = re.search(r"^r1_memory_used_ratio (\S+)$", text, re.MULTILINE)
    assert used is not None
    assert 0 < float(used[1]) < 1.5
    assert f'r1_cold_start_seconds{{model="{MODEL}",phase="load"}}' in text
    assert f'r1_cold_start_budget_seconds{{model="{MODEL}",phase="load"}}' in text


def test_keys_can_be_made_and_ended(one: LocalStack) -> None:
    made = one.r1("keys", "create", "--name", "second").stdout
    key_id = re.search(r"id (\S+);", made)
    assert key_id is not None
    assert "second" in one.r1("keys", "list").stdout
    assert one.r1("keys", "revoke", key_id[1]).returncode == 0
    assert one.r1("keys", "revoke", key_id[1]).returncode == 1


def test_a_second_start_on_the_same_ports_is_refused(one: LocalStack) -> None:
    again = one.start_detached()
    assert again.returncode == 1
    assert "a stack runs already" in again.stderr
    assert one.is_ready()


def test_engines_ask_for_the_key_that_only_the_gateway_holds(one: LocalStack) -> None:
    engine_key = one.home.secret_file("engine.key").read_text()
    told = one.r1("logs", "-n", "100000").stdout
    assert engine_key not in told
    titles = [name_of(pid) for pid in one.left()]
    assert not any(engine_key in title for title in titles)


def test_a_killed_gateway_comes_back(one: LocalStack) -> None:
    pid = one.status.parts["gateway"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for("the gateway's return", lambda: one.status.parts["gateway"].restarts == 1)
    wait_for("readiness", one.is_ready)
    assert one.answers()
    assert "gateway was ended by SIGKILL" in one.home.progress.read_text()


def test_a_killed_store_comes_back_with_its_keys(one: LocalStack) -> None:
    pid = one.status.parts["store"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for("the store's return", lambda: one.status.parts["store"].restarts == 1)
    wait_for("readiness", one.is_ready)
    assert "local user" in one.r1("keys", "list").stdout
    assert one.answers()


@pytest.mark.slow
def test_a_killed_engine_is_replaced_and_told(one: LocalStack) -> None:
    first = engine_core(one)
    os.kill(first, signal.SIGKILL)
    wait_for("the model to be away", lambda: one.status.parts[MODEL].restarts == 1)
    wait_for("the model's return", one.is_ready)
    assert one.answers()
    assert engine_core(one) != first


def test_a_stack_beside_it_runs_and_ctrl_c_ends_only_that(one: LocalStack) -> None:
    two = LocalStack(free_base({one.base}), one.state, "--models", MODEL, *weights_words())
    try:
        two.start_in_foreground()
        assert two.up is not None
        wait_for("the second stack", lambda: two.is_ready() or two.up is None)
        assert two.answers()
        assert one.answers()
        wait_for("its instructions", lambda: "OPENAI_API_KEY=" in two.said())
        two.up.send_signal(signal.SIGINT)
        assert two.up.wait(120) == 0
        two.assert_gone()
        assert one.answers()
    finally:
        two.stop()


def test_a_killed_supervisor_leaves_no_process_and_no_port(one: LocalStack) -> None:
    supervisor, guard = one.status.supervisor_pid, one.status.guard_pid
    assert len(one.left()) > 10
    os.kill(supervisor, signal.SIGKILL)
    wait_for("the guard to end", lambda: not is_running(guard))
    one.assert_gone()


def test_a_taken_port_is_one_clear_sentence(one: LocalStack) -> None:
    base = free_base({one.base})
    other = LocalStack(base, one.state, "--models", MODEL, *weights_words())
    with socket.create_server(("127.0.0.1", other.ports.admin)):
        refused = other.start_detached()
    assert refused.returncode == 1
    assert f"port {other.ports.admin} (admin) is taken by process {os.getpid()}" in refused.stderr
    assert "--port-base" in refused.stderr
    assert set(other.taken_ports()) == set()
