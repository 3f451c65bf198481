"""The comparison that an 8-bit KV cache waits for, with engines that are functions."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from serving.app import derive, parse
from serving.engine.kv_parity import FEWEST_TOKENS, Report, Scored, compare, scored, summarise
from serving.errors import DoesNotFit, InvalidDocument

GOOD: dict[str, Any] = {
    "model": "deepseek-r1",
    "weights": "nvidia/DeepSeek-R1-FP4",
    "kv_cache_dtype": "fp8",
    "tokens": FEWEST_TOKENS,
    "same": 0.995,
    "mean_difference": 0.004,
}
APPLICATION = {"model": "deepseek-r1", "hardware": "8xb200"}


def put(path: Path, **changes: Any) -> str:
    path.write_text(json.dumps({**GOOD, **changes}))
    return str(path)


def test_a_report_that_passes_gives_the_cache_8_bits(tmp_path: Path) -> None:
    report = put(tmp_path / "report.json")
    plain = derive(parse(APPLICATION))
    found = derive(parse({**APPLICATION, "kv_parity": report}))
    assert "kv_cache_dtype" not in plain.kwargs
    assert found.kwargs["kv_cache_dtype"] == "fp8"
    assert found.source == GOOD["weights"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tokens": 100}, "100 tokens compared, 20,000 are needed"),
        ({"same": 0.9}, "90.0% of tokens the same"),
        ({"mean_difference": 0.5}, "mean difference 0.5000"),
        ({"model": "deepseek-r1-zero"}, "about deepseek-r1-zero"),
        ({"weights": "/elsewhere"}, "not about deepseek-r1 from nvidia/DeepSeek-R1-FP4"),
    ],
)
def test_no_other_report_does(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    report = put(tmp_path / "report.json", **changes)
    with pytest.raises(DoesNotFit) as caught:
        derive(parse({**APPLICATION, "kv_parity": report}))
    assert sentence in str(caught.value)


def test_without_a_report_there_is_none() -> None:
    with pytest.raises(DoesNotFit, match="name the report as kv_parity"):
        derive(parse({**APPLICATION, "engine": {"kv_cache_dtype": "fp8_e4m3"}}))
    with pytest.raises(InvalidDocument, match="can't be read"):
        derive(parse({**APPLICATION, "kv_parity": "/nowhere.json"}))


def test_scores_are_read_from_the_end_of_the_prompt() -> None:
    entries = [
        None,
        {"7": {"logprob": -0.1, "rank": 1}},
        {"8": {"logprob": -2.0, "rank": 3}, "9": {"logprob": -0.3, "rank": 1}},
    ]
    assert scored([7, 8], entries) == Scored((True, False), (-0.1, -2.0))


def test_a_summary_is_over_all_tokens() -> None:
    one = (Scored((True, True), (-0.1, -0.2)), Scored((True, False), (-0.1, -0.4)))
    two = (Scored((True,), (-1.0,)), Scored((True,), (-1.1,)))
    count, same, mean = summarise([one, two])
    assert count == 3
    assert same == pytest.approx(2 / 3)
    assert mean == pytest.approx(0.1)


async def test_both_engines_score_what_the_reference_wrote() -> None:
    """Engines over HTTP, of which the second finds the second token of each answer unlikely."""
    asked: list[tuple[int, dict[str, Any]]] = []

    def engine(which: int) -> web.Application:
        async def completions(request: web.Request) -> web.Response:
            body = await request.json()
            asked.append((which, body))
            if "prompt_logprobs" not in body:
                return web.json_response(
                    {"choices": [{"prompt_token_ids": [1, 2], "token_ids": [5, 6]}]}
                )
            rank = 1 if which == 0 else 2
            entries = [
                None,
                {"2": {"logprob": 0.0, "rank": 1}},
                {"5": {"logprob": -0.5, "rank": 1}},
                {"6": {"logprob": -0.5 * rank, "rank": rank}},
            ]
            return web.json_response({"choices": [{"prompt_logprobs": entries}]})

        app = web.Application()
        app.router.add_post("/v1/completions", completions)
        return app

    runners = [web.AppRunner(engine(which)) for which in (0, 1)]
    urls = []
    try:
        for runner in runners:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            urls.append(f"http://{host}:{port}/v1")
        async with ClientSession() as session:
            found = await compare(session, "m", (urls[0], urls[1]), ["one", "two"], tokens=8)
    finally:
        for runner in runners:
            await runner.cleanup()
    count, same, mean = found
    assert (count, same) == (4, 0.5)
    assert mean == pytest.approx(0.25)
    wrote = [body for which, body in asked if "prompt_logprobs" not in body]
    assert [body["prompt"] for body in wrote] == ["one", "two"]
    assert {which for which, body in asked if body.get("prompt") == [1, 2, 5, 6]} == {0, 1}


def test_a_report_names_what_is_wrong_with_it() -> None:
    assert Report(**GOOD).faults == []
    assert len(Report(**{**GOOD, "tokens": 1, "same": 0.0, "mean_difference": 9.0}).faults) == 3
