"""One run of a batch: read the input, pick what is left to do, write answers as they come."""

import json
import os
import select
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from serving.batch.form import InvalidBatch, Reader, Request, answered, failed, first_model
from serving.batch.journal import Journal, UnusableOutput
from serving.batch.progress import Count, View
from serving.catalog import Catalog
from serving.catalog.model import Model
from serving.errors import ServingError, UnknownModel


class Stopped(ServingError):
    """The run ended before its last line; the message says why."""


@dataclass(slots=True)
class Left:
    """What is left to do of an input."""

    asked: dict[str, str] = field(default_factory=dict)
    """Requests for the engine: custom_id by id."""
    refused: list[Request] = field(default_factory=list)
    """Requests that no engine is asked."""


class Input:
    """A file of requests to one model."""

    def __init__(self, path: Path, catalog: Catalog, model: str | None) -> None:
        """Find the model: the one named, else the one that the first request names.

        Raises:
            InvalidBatch: no request names a model.
            UnknownModel: the catalog does not have it.
            OSError: the file can't be read.
        """
        self.path = path
        self._catalog = catalog
        if model is None:
            with path.open("rb") as lines:
                model = first_model(lines)
        if model is None:
            raise InvalidBatch(f"{path}: no line names a model in body.model; add it, or --model")
        self.model: Model = catalog.resolve(model)

    def check(self) -> int:
        """Check every line, and return how many requests there are.

        Raises:
            InvalidBatch: lines are wrong; the message has a line for each problem.
        """
        reader = Reader(self._not_this_model)
        with self.path.open("rb") as lines:
            count = sum(1 for _ in reader.requests(lines))
        try:
            reader.check()
        except InvalidBatch as error:
            raise InvalidBatch(f"{self.path}: nothing was started\n{error}") from error
        if not count:
            raise InvalidBatch(f"{self.path}: holds no request")
        return count

    def left(self, journal: Journal, requests: TextIO) -> Left:
        """What the journal does not have; requests for the engine are written to a stream.

        Raises:
            UnusableOutput: the journal has answers to other requests.
        """
        found = Left()
        done = dict(journal.done)
        with self.path.open("rb") as lines:
            for request in Reader(self._not_this_model).requests(lines):
                name = request.id
                earlier = done.pop(request.custom_id, None)
                if earlier not in (None, name):
                    raise UnusableOutput(
                        f"{journal.output} has an answer of `{request.custom_id}` to another "
                        "request than the input's; name another output"
                    )
                if earlier is not None:
                    continue
                if request.refusal is not None:
                    found.refused.append(request)
                    continue
                found.asked[name] = request.custom_id
                row = {"id": name, "url": request.url, "body": json.dumps(request.body)}
                requests.write(json.dumps(row) + "\n")
        if done:
            raise UnusableOutput(
                f"{journal.output} has an answer to `{min(done)}`, which is not in {self.path}; "
                "name another output"
            )
        return found

    def _not_this_model(self, name: str) -> str | None:
        try:
            other = self._catalog.resolve(name)
        except UnknownModel as error:
            return str(error)
        if other.id == self.model.id:
            return None
        return f"is {other.id}, but this batch is for {self.model.id}; split the file by model"


def refuse(left: Left, journal: Journal, count: Count) -> None:
    """Write the errors of the requests that no engine is asked."""
    for request in left.refused:
        if error := request.refusal:
            journal.add(failed(request.id, request.custom_id, error), error=True)
            count.add({}, error=True)


def follow(
    told: Iterable[bytes | None],
    left: Left,
    journal: Journal,
    count: Count,
    view: View,
    clock: Callable[[], float],
) -> None:
    """Write the worker's answers as they come, until the last one.

    Args:
        told: the worker's lines; None where none came for a moment.
        left: what is waited for; what has come is taken out.
        journal: where the answers go.
        count: is kept up to date.
        view: is shown the count, now and then.
        clock: Unix time in seconds, as the worker's.

    Raises:
        Stopped: the worker ended, or said why it can't go on.
        OSError: the journal can't be written.
    """
    for line in told:
        if line is not None:
            _take(line, left, journal, count)
        journal.keep_up()
        if not left.asked:
            count.ended = clock()
        view.show(count, clock())
        if not left.asked:
            return
    raise Stopped("the worker ended early")


def _take(line: bytes, left: Left, journal: Journal, count: Count) -> None:
    row = json.loads(line)
    if "failed" in row:
        raise Stopped(row["failed"])
    if "doing" in row:
        count.doing = row["doing"]
        return
    custom_id = left.asked.pop(row["id"], None)
    if custom_id is None:
        # Ray asks once more what an engine that died may have answered already.
        return
    if count.began is None:
        count.began = row["ready"]
    status, body = row["status"], json.loads(row["answer"])
    error = status != 200
    answer_id = str(body.get("id") or row["id"])
    journal.add(answered(row["id"], custom_id, status, answer_id, body), error=error)
    count.add(body.get("usage") or {}, error=error)


def lines_and_pauses(handle: int, every_s: float) -> Iterator[bytes | None]:
    """Lines of a pipe as they come, and None after each `every_s` seconds without one.

    What follows the last line feed is left out: whoever wrote it was cut off.
    """
    rest = b""
    while True:
        if not select.select([handle], [], [], every_s)[0]:
            yield None
            continue
        piece = os.read(handle, 1 << 16)
        if not piece:
            return
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
