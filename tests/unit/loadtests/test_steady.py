"""The steady traffic against a simulated engine: well, and with each kind of fault."""

import asyncio
import dataclasses
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from loadtests.steady.__main__ import run as run_command
from loadtests.steady.calls import CUT, ERROR, LOST, REFUSED, Question
from loadtests.steady.report import Report
from loadtests.steady.traffic import Load, Traffic, UnsteadyError
from loadtests.streams import Target
from serving.simulator.__main__ import build, parser
from tests.contract.stack import free_port

LOAD = Load(long_tokens=60, pause_s=0.01, most_calls=40, timeout_s=10)


@dataclasses.dataclass
class Engine:
    """A simulated engine in this process."""

    port: int
    requests: int = 0

    @property
    def target(self) -> Target:
        return Target("engine", f"http://127.0.0.1:{self.port}/v1", "r1-nano", "secret-key")

    async def control(self, **values: Any) -> None:
        async with ClientSession() as session:
            url = f"http://127.0.0.1:{self.port}/control"
            async with session.post(url, json=values) as answer:
                assert answer.status == 200


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(free_port())
    app = build(parser().parse_args(["--step-ms", "0.5"])).app()

    @web.middleware
    async def count(request: web.Request, handler: Any) -> web.StreamResponse:
        engine.requests += request.path.endswith("completions")
        response: web.StreamResponse = await handler(request)
        return response

    app.middlewares.append(count)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", engine.port).start()
    yield engine
    await runner.cleanup()


async def run(traffic: Traffic, calls: int) -> Report:
    """Traffic until so many calls are over."""
    stop = asyncio.Event()
    running = asyncio.create_task(traffic.run(stop))
    while len(traffic.calls) < calls and not running.done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    stop.set()
    await running
    return Report.of(traffic)


async def test_an_undisturbed_server_has_no_fault(engine: Engine) -> None:
    traffic = Traffic(engine.target, LOAD)
    await traffic.learn()
    report = await run(traffic, 20)
    assert report.good, report.text()
    assert {call.question.kind for call in report.calls} == {
        "long stream",
        "short stream",
        "short call",
    }
    assert {call.answer.completion_tokens for call in report.calls if call.question.tokens} == {60}
    assert "No error, no token lost, none doubled." in report.text()
    assert "secret-key" not in report.text() + repr(traffic)


async def test_the_count_of_calls_is_bounded(engine: Engine) -> None:
    traffic = Traffic(engine.target, dataclasses.replace(LOAD, most_calls=7))
    await traffic.learn()
    asked = engine.requests
    report = await run(traffic, 1000)
    assert len(report.calls) == engine.requests - asked == 7


async def test_streams_that_run_when_it_is_told_to_stop_come_to_their_end(engine: Engine) -> None:
    traffic = Traffic(engine.target, dataclasses.replace(LOAD, short_callers=0))
    await traffic.learn()
    stop = asyncio.Event()
    running = asyncio.create_task(traffic.run(stop))
    while not traffic.running:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    stop.set()
    await running
    assert not traffic.running
    assert len(traffic.calls) == 3
    assert Report.of(traffic).good


@pytest.mark.parametrize(
    ("fault", "ending"),
    [("reset", LOST), ("cut", CUT), ("no-done", CUT), ("error", ERROR), ("die", REFUSED)],
)
async def test_each_way_to_end_badly_is_seen(engine: Engine, fault: str, ending: str) -> None:
    traffic = Traffic(engine.target, LOAD)
    await traffic.learn()
    await engine.control(fault=fault, after=5)
    report = await run(traffic, 4)
    assert not report.good
    assert ending in report.endings, report.text()
    assert ending in report.text()


async def test_an_error_status_is_told_with_its_body(engine: Engine) -> None:
    traffic = Traffic(engine.target, LOAD)
    await traffic.learn()
    await engine.control(status=503)
    report = await run(traffic, 3)
    assert set(report.endings) == {"http 503"}
    assert "InternalServerError" in report.text()


async def test_nobody_listening_is_no_connection(engine: Engine) -> None:
    traffic = Traffic(dataclasses.replace(engine.target, url="http://127.0.0.1:1/v1"), LOAD)
    traffic.expected = {}
    report = await run(traffic, 3)
    assert set(report.endings) == {REFUSED}


async def test_another_text_is_a_fault_though_the_stream_ended_well(engine: Engine) -> None:
    traffic = Traffic(engine.target, LOAD)
    await traffic.learn()
    for question, answer in traffic.expected.items():
        if question.tokens:
            text = answer.reasoning
            traffic.expected[question] = dataclasses.replace(answer, reasoning=text[:9] + text[12:])
    report = await run(traffic, 20)
    assert set(report.endings) == {"done"}
    assert all("long stream" in each.line() for each in report.faults)
    assert "added 3 characters" in report.text() or "doubled 3 characters" in report.text()
    assert not report.good


async def test_a_pause_inside_a_stream_is_measured(engine: Engine) -> None:
    traffic = Traffic(engine.target, dataclasses.replace(LOAD, short_callers=0, long_callers=1))
    await traffic.learn()
    await engine.control(step_s=0.02, per_event=20)
    report = await run(traffic, 1)
    assert report.longest_pause >= 0.2


async def test_a_server_that_errs_from_the_beginning_is_not_learned_from(engine: Engine) -> None:
    await engine.control(status=500)
    with pytest.raises(UnsteadyError, match="was not answered before the traffic began: http 500"):
        await Traffic(engine.target, LOAD).learn()


async def test_a_server_whose_text_changes_can_be_compared_by_lengths(engine: Engine) -> None:
    traffic = Traffic(engine.target, dataclasses.replace(LOAD, exact=False))
    await traffic.learn()
    for question, answer in traffic.expected.items():
        traffic.expected[question] = dataclasses.replace(answer, reasoning="something else")
    assert (await run(traffic, 10)).good


def test_a_load_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody would ask"):
        Load(long_callers=0, short_callers=0)


def test_the_questions_are_the_same_each_time() -> None:
    assert Load().questions() == Load().questions()
    assert Question("7+5", stream=True).body("m")["stream_options"] == {"include_usage": True}


async def command(engine: Engine, *words: str, folder: Path) -> int:
    key = folder / "key"
    key.write_text("secret-key\n")
    given = ["--base-url", engine.target.url, "--key-file", str(key), "--tokens", "40"]
    given += ["--before", "0", "--after", "0.1", "--json", str(folder / "all.json"), *words]
    return await run_command(given)


async def test_traffic_around_a_command(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    well = [sys.executable, "-c", "pass"]
    assert await command(engine, "--", *well, folder=tmp_path) == 0
    assert "No error" in capsys.readouterr().out
    seen = json.loads((tmp_path / "all.json").read_text())
    assert seen["good"]
    assert seen["calls"]
    ill = [sys.executable, "-c", "raise SystemExit(7)"]
    assert await command(engine, "--", *ill, folder=tmp_path) == 3


async def test_a_command_that_breaks_the_server_is_found_out(
    engine: Engine, tmp_path: Path
) -> None:
    text = (
        "import urllib.request as u; u.urlopen(u.Request("
        f"'http://127.0.0.1:{engine.port}/control', b'{{\"status\": 500}}', "
        "{'content-type': 'application/json'}))"
    )
    assert await command(engine, "--", sys.executable, "-c", text, folder=tmp_path) == 1


async def test_a_server_that_is_ill_already_says_so(engine: Engine, tmp_path: Path) -> None:
    await engine.control(status=500)
    assert await command(engine, "--seconds", "0.1", folder=tmp_path) == 2


async def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit):
        await run_command([])
    assert "set OPENAI_BASE_URL or give --base-url" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        await run_command(["--base-url", "http://127.0.0.1:1/v1"])
    assert "set OPENAI_API_KEY or give --key-file" in capsys.readouterr().err
