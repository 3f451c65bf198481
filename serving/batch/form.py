"""OpenAI's batch format: lines of the input, of the output and of the errors' file. Pure.

An output line's `id` is made from its request, so an answer can be told from the answer to another
request that had the same `custom_id`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serving.batch.fields import FIELDS, problems
from serving.errors import ServingError

PREFIX = b'{"id": "batch_req_'
"""What every line of an output begins with."""
MOST_PROBLEMS = 20
_KEYS = ("custom_id", "method", "url", "body")


class InvalidBatch(ServingError):
    """Lines of the input are wrong; the message names each with its number."""


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the input."""

    custom_id: str
    url: str
    body: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its name in the output: the same for the same request, whenever it is asked."""
        text = json.dumps([self.custom_id, self.url, self.body], sort_keys=True)
        return "batch_req_" + hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def refusal(self) -> dict[str, str] | None:
        """The error of a request that no engine here can be asked, or None."""
        if self.url in FIELDS:
            return None
        return {
            "code": "unsupported_url",
            "message": f"{self.url} can't be asked in this batch: it generates text, by "
            f"{' or '.join(FIELDS)}",
        }


class Reader:
    """Reads the lines of an input, and gathers what is wrong with them."""

    def __init__(self, same_model: Callable[[str], str | None]) -> None:
        """Take `same_model`: why a model's name is not this batch's, or None if it is."""
        self._same_model = same_model
        self._lines: dict[str, int] = {}
        self._problems: list[str] = []

    def requests(self, lines: Iterable[bytes]) -> Iterator[Request]:
        """The requests in the lines that are right; empty lines count and are passed over."""
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                raw = json.loads(line)
            except ValueError as error:
                self._tell(number, f"is not valid JSON: {error}")
                continue
            request = self._request(number, raw)
            if request is not None:
                yield request

    def check(self) -> None:
        """Raise what was found in the lines so far.

        Raises:
            InvalidBatch: with the first twenty problems.
        """
        if not self._problems:
            return
        shown = self._problems[:MOST_PROBLEMS]
        more = len(self._problems) - len(shown)
        if more:
            shown.append(f"and {more} more")
        raise InvalidBatch("\n".join(shown))

    def _tell(self, number: int, *sentences: str) -> None:
        self._problems += [f"line {number}: {sentence}" for sentence in sentences]

    def _request(self, number: int, raw: Any) -> Request | None:
        if not isinstance(raw, dict):
            self._tell(number, "is not a JSON object; write one request a line")
            return None
        wrong = _frame(raw)
        if wrong:
            self._tell(number, *wrong)
            return None
        request = Request(raw["custom_id"], raw["url"], raw["body"])
        first = self._lines.setdefault(request.custom_id, number)
        if first != number:
            self._tell(number, f"custom_id `{request.custom_id}` is that of line {first} too")
        model = request.body.get("model")
        if request.refusal is not None:
            return request
        if not isinstance(model, str):
            self._tell(number, "body.model: is missing; name the batch's model")
        elif (reason := self._same_model(model)) is not None:
            self._tell(number, f"body.model: {reason}")
        self._tell(number, *problems(request.url, request.body))
        return request


def _frame(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong around a request's body."""
    found = [f"{name}: is not a field of a batch's line" for name in raw if name not in _KEYS]
    found += [f"{name}: is missing; add it" for name in _KEYS if name not in raw]
    if found:
        return found
    if not isinstance(raw["custom_id"], str) or not raw["custom_id"]:
        found.append("custom_id: give a text, another one for each line")
    if raw["method"] != "POST":
        found.append(f"method: must be POST, but it is {raw['method']!r}")
    if not isinstance(raw["url"], str):
        found.append("url: give a path such as /v1/chat/completions")
    if not isinstance(raw["body"], dict):
        found.append("body: give an object, the request's own body")
    return found


def first_model(lines: Iterable[bytes]) -> str | None:
    """The model that the first request which names one names; None without any."""
    for line in lines:
        try:
            name = json.loads(line)["body"]["model"]
        except (ValueError, TypeError, KeyError):
            continue
        if isinstance(name, str):
            return name
    return None


def answered(
    request_id: str, custom_id: str, status: int, answer_id: str, body: Mapping[str, Any]
) -> bytes:
    """The line of a request that the engine answered, with whatever status."""
    response = {"status_code": status, "request_id": answer_id, "body": body}
    return _line(request_id, custom_id, response, None)


def failed(request_id: str, custom_id: str, error: Mapping[str, str]) -> bytes:
    """The line of a request that had no answer; `error` has a code and a message."""
    return _line(request_id, custom_id, None, error)


def _line(
    request_id: str,
    custom_id: str,
    response: Mapping[str, Any] | None,
    error: Mapping[str, str] | None,
) -> bytes:
    line = {"id": request_id, "custom_id": custom_id, "response": response, "error": error}
    text = json.dumps(line, ensure_ascii=False)
    # Half of a surrogate pair is no UTF-8; written \udxxx it is what JSON calls it.
    return text.encode("utf-8", "backslashreplace") + b"\n"
