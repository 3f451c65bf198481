"""A run with a worker that is a list of lines: what is left to do, and what is written."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.batch.form import InvalidBatch
from serving.batch.journal import Journal, UnusableOutput, errors_beside
from serving.batch.progress import Count
from serving.batch.run import Input, Left, Stopped, follow, lines_and_pauses, refuse
from serving.catalog import Catalog


class Shown:
    """A view that remembers."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def show(self, count: Count, now: float) -> None:
        self.done.append(count.before + count.now)

    def close(self) -> None: ...


def write(path: Path, *custom_ids: str, url: str = "/v1/chat/completions", **body: Any) -> Path:
    with path.open("a", encoding="utf-8") as stream:
        for custom_id in custom_ids:
            whole = {"model": "r1-nano", "messages": [{"role": "user", "content": custom_id}]}
            line = {"custom_id": custom_id, "method": "POST", "url": url, "body": {**whole, **body}}
            stream.write(json.dumps(line) + "\n")
    return path


def told(row: dict[str, Any], status: int = 200) -> bytes:
    """What the worker says of a row of its requests."""
    usage = {"prompt_tokens": 5, "completion_tokens": 7}
    answer = {"id": "chatcmpl-" + row["id"][-4:], "choices": [], "usage": usage}
    if status != 200:
        answer = {"error": {"message": "no", "code": status}}
    document = {"id": row["id"], "status": status, "answer": json.dumps(answer), "ready": 90.0}
    return json.dumps(document).encode()


class Run:
    """One run over files in a folder."""

    def __init__(self, folder: Path, model: str | None = None) -> None:
        self.output = folder / "out.jsonl"
        self.source = Input(folder / "in.jsonl", Catalog.load(), model)
        self.requests = folder / "requests.jsonl"
        self.count = Count(self.source.check())
        self.shown = Shown()
        self.left = Left()

    def go(self, statuses: list[int | None]) -> None:
        """Let the worker answer as many rows as there are statuses; None is a pause."""
        with Journal(self.output, lambda: 0.0) as journal:
            with self.requests.open("w") as stream:
                self.left = self.source.left(journal, stream)
            journal.cut()
            self.count.before = len(journal.done)
            refuse(self.left, journal, self.count)
            rows = iter([json.loads(line) for line in self.requests.read_text().splitlines()])

            def lines() -> Iterator[bytes | None]:
                for status in statuses:
                    yield None if status is None else told(next(rows), status)

            follow(lines(), self.left, journal, self.count, self.shown, lambda: 100.0)

    def ids(self, path: Path | None = None) -> list[str]:
        """The custom_ids in the output."""
        text = (path or self.output).read_text()
        return [json.loads(line)["custom_id"] for line in text.splitlines()]


def test_answers_and_errors_go_to_their_files(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", "a", "b", "c")
    run = Run(tmp_path)
    run.go([200, None, 400, 200])
    assert run.ids() == ["a", "c"]
    assert run.ids(errors_beside(run.output)) == ["b"]
    line = json.loads(run.output.read_text().splitlines()[0])
    assert line["response"]["status_code"] == 200
    assert line["response"]["request_id"] == line["response"]["body"]["id"]
    assert line["response"]["body"]["usage"]["completion_tokens"] == 7
    assert (run.count.now, run.count.errors, run.count.completion_tokens) == (3, 1, 14)
    assert run.count.rate(1000.0) == 1.4
    assert run.shown.done == [1, 1, 2, 3]


def test_a_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", "a", "b", "c", "d")
    first = Run(tmp_path)
    with pytest.raises(Stopped, match="ended early"):
        first.go([200, 400])
    assert set(first.left.asked.values()) == {"c", "d"}
    with first.output.open("ab") as stream:
        stream.write(b'{"id": "batch_req_torn')
    second = Run(tmp_path)
    second.go([200, 200])
    assert second.ids() == ["a", "c", "d"]
    assert second.ids(errors_beside(second.output)) == ["b"]
    third = Run(tmp_path)
    with Journal(third.output, lambda: 0.0) as journal, third.requests.open("w") as stream:
        assert third.source.left(journal, stream) == Left()


def test_an_answer_that_comes_twice_is_written_once(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", "a", "b")
    run = Run(tmp_path)
    with Journal(run.output, lambda: 0.0) as journal, run.requests.open("w") as stream:
        left = run.source.left(journal, stream)
        stream.flush()
        first, second = (json.loads(line) for line in run.requests.read_text().splitlines())
        lines = [b'{"doing": "starting the engine"}', told(first), told(first), told(second)]
        follow(lines, left, journal, run.count, run.shown, lambda: 100.0)
    assert run.ids() == ["a", "b"]
    assert run.count.doing == "starting the engine"


def test_what_the_worker_says_of_its_end_is_the_reason(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", "a")
    run = Run(tmp_path)
    with Journal(run.output, lambda: 0.0) as journal, run.requests.open("w") as stream:
        left = run.source.left(journal, stream)
        with pytest.raises(Stopped, match="no memory"):
            follow([b'{"failed": "no memory"}'], left, journal, run.count, run.shown, lambda: 1.0)


def test_other_apis_get_an_error_line_and_no_engine(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", "a")
    write(tmp_path / "in.jsonl", "b", url="/v1/embeddings")
    run = Run(tmp_path)
    run.go([200])
    (line,) = map(json.loads, errors_beside(run.output).read_text().splitlines())
    assert line["custom_id"] == "b"
    assert line["response"] is None
    assert "/v1/embeddings can't be asked in this batch" in line["error"]["message"]


def test_all_lines_are_for_one_model_by_any_of_its_names(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", "a")
    write(path, "b", model="r1:nano")
    assert Run(tmp_path).count.total == 2
    write(path, "c", model="deepseek-r1")
    write(path, "d", model="gpt-5")
    with pytest.raises(InvalidBatch) as caught:
        Run(tmp_path)
    assert "line 3: body.model: is deepseek-r1, but this batch is for r1-nano" in str(caught.value)
    assert "line 4: body.model: no model is called `gpt-5`" in str(caught.value)
    with pytest.raises(InvalidBatch, match=r"line 1: body\.model: is r1-nano"):
        Run(tmp_path, model="r1-distill-nano")


def test_an_output_of_another_input_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", "a", "b")
    Run(tmp_path).go([200, 200])
    before = (tmp_path / "out.jsonl").read_bytes()
    path.unlink()
    write(path, "a", "b", temperature=1)
    with pytest.raises(UnusableOutput, match="answer of `a` to another request"):
        Run(tmp_path).go([])
    path.unlink()
    write(path, "a")
    with pytest.raises(UnusableOutput, match="answer to `b`, which is not in"):
        Run(tmp_path).go([])
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_an_empty_input_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("\n")
    with pytest.raises(InvalidBatch, match="no line names a model"):
        Run(tmp_path)
    with pytest.raises(InvalidBatch, match="holds no request"):
        Run(tmp_path, model="r1-nano")


def test_a_pipe_gives_whole_lines_and_pauses() -> None:
    reading, writing = os.pipe()
    lines = lines_and_pauses(reading, 0.01)
    os.write(writing, b"one\ntw")
    assert next(lines) == b"one"
    assert next(lines) is None
    os.write(writing, b"o\nthree")
    os.close(writing)
    assert [line for line in lines if line is not None] == [b"two"]
    os.close(reading)
