"""`r1 bench` against a gateway and a model server: open and closed loads, gates both ways."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench.driver import Driver, NoServer, Plan
from loadtests.bench.figures import figures
from loadtests.client.ask import Target
from loadtests.client.call import UNFINISHED
from loadtests.load.lengths import Lengths
from loadtests.load.shapes import Shape
from loadtests.load.trace import Arrival
from loadtests.users.kinds import Mix
from r1.cli import main
from tests.contract.stack import Gateway, Simulator, free_port

SHORT = Lengths(((20, 8),), 20, 8)
_WAIT_S = 20.0


@pytest.fixture
def engine(folder: Path) -> Iterator[Simulator]:
    server = Simulator(folder)
    yield server
    server.child.send_signal(signal.SIGCONT)
    server.end()


def driver(server: Simulator, **given: Any) -> Driver:
    plan = Plan(Mix((("reasoning", 1.0),)), SHORT, seconds=60.0, drain_s=20.0)
    return Driver(Target(f"{server.url}/v1", "r1-nano"), replace(plan, **given))


async def until(condition: Any) -> None:
    async with asyncio.timeout(_WAIT_S):
        while not condition():  # noqa: ASYNC110 - it is not told when
            await asyncio.sleep(0.005)


@asynccontextmanager
async def stalled(server: Simulator) -> AsyncIterator[None]:
    """The whole server stands still meanwhile, as in a long pause of its garbage collector."""
    server.child.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.child.send_signal(signal.SIGCONT)


def test_a_stall_shows_in_an_open_loads_latencies(engine: Simulator) -> None:
    """Callers come on while nobody is answered, and their wait counts from when they were due."""
    load = driver(engine)
    due = [0.05 * number for number in range(60)]

    async def run() -> float:
        task = asyncio.create_task(load.open(due))
        await until(lambda: len(load.calls) >= 5)
        began = asyncio.get_running_loop().time()
        async with stalled(engine):
            await until(lambda: load.running >= 20)
            took = asyncio.get_running_loop().time() - began
        await task
        return took

    stall = asyncio.run(run())
    assert len(load.calls) == len(due)
    assert not [each.message for each in load.calls if each.failed]
    waited = [each for each in load.calls if each.ttft >= stall / 3]
    # Some twenty callers came in the stall: those of its first two thirds waited a third of it.
    assert len(waited) >= 5
    assert figures(load.calls)["p95_ttft_ms"] >= stall / 3 * 1000


def test_a_closed_load_hides_the_same_stall(engine: Simulator) -> None:
    """One user waits, once: why an open load is what latencies are promised by."""
    load = driver(engine)

    async def run() -> tuple[float, float]:
        task = asyncio.create_task(load.closed(Shape.parse("1")))
        await until(lambda: len(load.calls) >= 20)
        async with stalled(engine):
            began = time.perf_counter()
            await asyncio.sleep(0.5)
            ended = time.perf_counter()
        await until(lambda: len(load.calls) >= 40)
        load.stop()
        await task
        return began, ended

    began, ended = asyncio.run(run())
    # In the same time ten callers of the open load came.
    assert sum(began < each.due < ended for each in load.calls) <= 1


def test_what_a_stall_never_answers_is_counted(engine: Simulator) -> None:
    load = driver(engine, drain_s=0.2)

    async def run() -> None:
        task = asyncio.create_task(load.open([0.0, 0.01, 0.5]))
        await until(lambda: len(load.calls) >= 2)
        async with stalled(engine):
            await task

    asyncio.run(run())
    assert [each.ending for each in load.calls][2:] == [UNFINISHED]
    assert figures(load.calls)["errors"] == {UNFINISHED: 1}


def test_users_come_and_go_as_the_shape_says(engine: Simulator) -> None:
    load = driver(engine, seconds=6.0)

    async def run() -> None:
        task = asyncio.create_task(load.closed(Shape.parse("steps:4,1")))
        await until(lambda: load.running == 4)
        await until(lambda: load.running <= 1)
        load.stop()
        await task

    asyncio.run(run())
    assert figures(load.calls)["failed"] == 0
    assert engine.seen()["most"] <= 4
    assert load.running == 0


def test_a_trace_is_replayed_with_its_lengths(engine: Simulator) -> None:
    trace = [Arrival(0.0, 15, 3), Arrival(0.05, 12, 7), Arrival(0.1, 900, 90)]
    load = driver(engine)
    asyncio.run(load.replay(trace))
    calls = sorted(load.calls, key=lambda each: each.due)
    assert [each.said.completion_tokens for each in calls] == [3, 7, 8]
    assert all(each.kind == "trace" for each in calls)
    # The simulated engine's tokens are bytes: words were measured, and fit nearly.
    assert [each.said.prompt_tokens for each in calls] == pytest.approx([15, 12, 20], abs=12)


def test_most_calls_is_the_most(engine: Simulator) -> None:
    load = driver(engine, most_calls=7)
    asyncio.run(load.closed(Shape.parse("3")))
    assert len(load.calls) <= 7 + 2


def test_without_a_server_there_is_no_load() -> None:
    load = Driver(Target(f"http://127.0.0.1:{free_port()}/v1", "m"), Plan())
    with pytest.raises(NoServer, match="no connection"):
        asyncio.run(load.open([0.0]))


COMMON = ("--model", "r1-nano", "--seconds", "1", "--longest-prompt", "30", "--longest-answer", "8")


@pytest.fixture
def called(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{gateway.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", gateway.key)
    return gateway


def test_gates_make_the_exit_status(
    called: Gateway, vllm: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slo = tmp_path / "slo.yaml"
    words = ["bench", *COMMON, "--users", "2", "--mix", "chat,reasoning", "--slo", str(slo)]
    slo.write_text("goodput: {ttft: 60000}\nmost: {failed: 0}\nleast: {request_goodput: 0.01}\n")
    assert main(words) == 0
    assert "MISSED" not in capsys.readouterr().out
    slo.write_text("most: {p99_ttft_ms: 0.001}\n")
    assert main(words) == 1
    assert "MISSED" in capsys.readouterr().out
    slo.write_text("most: {p99_ttft: 1}\n")
    assert main(words) == 2
    assert "p99_ttft_ms" in capsys.readouterr().err


def test_errors_are_named_and_fail_without_an_slo(
    called: Gateway, vllm: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vllm.control(fault="cut", share=0.6)
    words = ["bench", *COMMON, "--rate", "20", "--mix", "reasoning", "--out", str(tmp_path)]
    status = main(words)
    data = json.loads((tmp_path / "report.json").read_text())
    assert status == 1
    assert data["errors"].keys() == {"error event"}
    assert data["failed"] == sum(data["errors"].values()) > 0
    assert "× error event" in capsys.readouterr().out


def test_a_report_has_the_window_over_time(
    called: Gateway, vllm: Simulator, tmp_path: Path
) -> None:
    words = ["bench", *COMMON, "--rate", "steps:5,20", "--mix", "classification,hot"]
    assert main([*words, "--metrics", called.admin_url, "--out", str(tmp_path)]) == 0
    html = (tmp_path / "report.html").read_text()
    assert html.count("<svg") == 3
    assert "Batch window over time" in html
    assert called.key not in html
    lines = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    data = json.loads((tmp_path / "report.json").read_text())
    assert len(lines) == data["calls"] == data["completed"]
    assert data["request_rate"] == 20
    assert {each["users"] for each in lines} == {"classification", "hot"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--users", "wave:3"], "no shape 'wave'"),
        (["--mix", "nobody"], "no users 'nobody'"),
        (["--seconds", "0"], "--seconds must be above 0"),
        (["--key-for", "abusive"], "USERS=FILE"),
        (["--trace", "missing.csv"], "missing.csv"),
        (["ftp://x"], "no address"),
    ],
)
def test_bad_words_are_named(
    words: list[str], says: str, called: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == 2
    assert says in capsys.readouterr().err
