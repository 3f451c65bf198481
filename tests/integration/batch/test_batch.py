"""A batch on the real engine, killed with -9 in the middle: every line is answered, and once."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.nano.arithmetic import boxed
from tests.integration.answers.sums import Sum, draw
from tests.integration.batch.running import Batch, wait_for

MODEL = "r1-nano"
SUMS = 90
BAR = 0.9
LIMIT_S = 200.0


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    made = Batch(tmp_path, "--hardware", "cpu")
    yield made
    made.stop()


def requests(sums: list[Sum]) -> list[dict[str, Any]]:
    """The sums as chats, and a few lines of other kinds among them."""
    found: list[dict[str, Any]] = [
        {
            "custom_id": f"sum-{number}",
            "body": {
                "model": (MODEL, "r1:nano")[number % 2],
                "messages": [{"role": "user", "content": each.question}],
            },
        }
        for number, each in enumerate(sums)
    ]
    text = {"model": MODEL, "prompt": "12+34", "max_tokens": 5, "temperature": 0}
    two = {"model": MODEL, "messages": [{"role": "user", "content": "7+5"}], "n": 2}
    embedding = {"model": MODEL, "input": "7"}
    found[40:40] = [
        {"custom_id": "text", "url": "/v1/completions", "body": text},
        {"custom_id": "two", "body": {**two, "max_tokens": 3, "return_token_ids": True}},
        {"custom_id": "hot", "body": {**two, "temperature": -1}},
        {"custom_id": "embedding", "url": "/v1/embeddings", "body": embedding},
    ]
    return found


@pytest.mark.timeout(600)
def test_killed_in_the_middle_it_goes_on_and_answers_as_the_server_does(batch: Batch) -> None:
    sums = draw(SUMS)
    asked = requests(sums)
    batch.write(asked)
    process = batch.start()
    wait_for(
        "a few answers",
        lambda: len(batch.lines()) >= 10 or process.poll() is not None,
        LIMIT_S,
    )
    assert process.poll() is None, batch.said()
    batch.end(signal.SIGKILL)
    wait_for("the keeper to end Ray and the engine", lambda: batch.left() == [], 60)
    before = batch.lines()
    assert 10 <= len(before) < len(asked)

    assert batch.start().wait(LIMIT_S) == 0, batch.said() + batch.log.read_text()[-5000:]
    assert batch.left() == []
    found = {line["custom_id"]: line for line in batch.lines()}
    assert len(batch.lines()) == len(asked)
    assert found.keys() == {request["custom_id"] for request in asked}
    assert batch.lines()[0] == before[0]
    said = batch.said()
    assert re.search(
        rf"\d+/{len(asked)} \(\d+%\): [\d,]+ tokens/s, \d:\d\d elapsed, \d:\d\d left", said
    )
    now = len(asked) - len(before)
    assert f"{len(asked)} lines are done: {len(before)} earlier and {now} now" in said

    answers = [found[f"sum-{number}"]["response"]["body"] for number in range(SUMS)]
    contents = [answer["choices"][0]["message"]["content"] or "" for answer in answers]
    right = sum(boxed(said) == each.answer for each, said in zip(sums, contents, strict=True))
    assert right >= BAR * SUMS
    for answer in answers:
        assert answer["model"] == MODEL
        assert answer["choices"][0]["message"]["reasoning_content"]
        assert "reasoning" not in answer["choices"][0]["message"]
        usage = answer["usage"]
        thought = usage["completion_tokens_details"]["reasoning_tokens"]
        assert 0 < thought < usage["completion_tokens"]
    assert found["text"]["response"]["body"]["object"] == "text_completion"
    assert found["text"]["response"]["body"]["usage"]["completion_tokens"] == 5
    choices = found["two"]["response"]["body"]["choices"]
    assert [len(choice["token_ids"]) for choice in choices] == [3, 3]

    wrong = {
        name: line for name, line in found.items() if line["custom_id"] in ("hot", "embedding")
    }
    assert batch.errors.read_text().count("\n") == len(wrong) == 2
    assert wrong["hot"]["response"]["status_code"] == 400
    assert "temperature" in wrong["hot"]["response"]["body"]["error"]["message"]
    assert wrong["embedding"]["response"] is None
    assert wrong["embedding"]["error"]["code"] == "unsupported_url"
