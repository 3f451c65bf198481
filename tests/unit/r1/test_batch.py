"""The command `r1 batch run`, up to where Ray would start."""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from r1 import batch

WORKER = """
import json, os, sys
requests, fd = sys.argv[1], int(sys.argv[3])
print("a line of the log")
with os.fdopen(fd, "w") as answers, open(requests) as lines:
    for number, line in enumerate(lines):
        row = json.loads(line)
        if number == LIMIT:
            answers.write(json.dumps({"failed": "the memory is full"}) + chr(10))
            sys.exit(1)
        body = json.dumps({"id": "x", "usage": {"completion_tokens": 2}, "choices": []})
        told = {"id": row["id"], "status": 200, "answer": body, "ready": 1.0}
        answers.write(json.dumps(told) + chr(10))
"""


def call(*words: Any) -> int:
    parser = argparse.ArgumentParser()
    batch.add_arguments(parser)
    return batch.run(parser.parse_args(["run", *map(str, words)]))


def write(path: Path, *custom_ids: str, model: str = "r1-nano") -> Path:
    body = {"model": model, "messages": [{"role": "user", "content": "1+1"}]}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    path.write_text("".join(json.dumps({"custom_id": each, **line}) + "\n" for each in custom_ids))
    return path


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Give back the handlers that the command sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make the worker a small program that answers the first so many lines."""

    def limited(limit: int) -> None:
        program = WORKER.replace("LIMIT", str(limit))

        def command(job: Path, requests: Path, answers: int) -> list[str]:
            assert json.loads(job.read_text())["model"] == "r1-nano"
            return [sys.executable, "-c", program, str(requests), "--answers-fd", str(answers)]

        monkeypatch.setattr(batch, "worker_command", command)

    return limited


def test_a_batch_goes_on_until_its_last_line(
    tmp_path: Path, worker: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = write(tmp_path / "in.jsonl", "a", "b", "c"), tmp_path / "out.jsonl"
    worker(2)
    assert call(source, output) == 1
    said = capsys.readouterr().err
    assert "the memory is full" in said
    assert "2 of 3 lines are done; the same command goes on with the other 1" in said
    assert (tmp_path / "out.log").read_text() == "a line of the log\n"
    worker(9)
    assert call(source, output) == 0
    said = capsys.readouterr().out
    assert "3 lines are done: 2 earlier and 1 now, 0 of these with an error" in said
    assert "2 generated" in said
    assert [json.loads(line)["custom_id"] for line in output.read_text().splitlines()] == [
        *("a", "b", "c")
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}
    assert call(source, output) == 0
    assert "3 earlier and 0 now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "gpt-5"], "no model is called `gpt-5`"),
        (["--model", "deepseek-r1"], "body.model: is r1-nano, but this batch is for deepseek-r1"),
        (["--hardware", "9xh200"], "no machine shape is called `9xh200`"),
        (["--hardware", "8xh200"], "r1-nano is made for the machine `cpu`"),
        (["--profile", "fast"], "has no profile `fast`"),
        (["--set", "max_nun_seqs=2"], "did you mean max_num_seqs"),
        (["--engines", "2"], "lower --engines"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in.jsonl", "a")
    if "deepseek-r1" in words:
        words = [*words, "--hardware", "8xh200"]
    assert call(source, tmp_path / "out.jsonl", *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_files_are_looked_at_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.jsonl", "a", "a")
    assert call(tmp_path / "gone.jsonl", tmp_path / "out.jsonl") == 2
    assert "gone.jsonl: No such file" in capsys.readouterr().err
    assert call(source, source) == 2
    assert "the output is the input" in capsys.readouterr().err
    assert call(source, tmp_path / "out.jsonl") == 2
    assert "line 2: custom_id `a` is that of line 1 too" in capsys.readouterr().err


def test_the_command_is_part_of_r1() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "r1", "batch", "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "OpenAI's batch format" in done.stdout
