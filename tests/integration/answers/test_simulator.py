"""The simulated engine's bodies and events have the real engine's keys, in the same order."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.simulator.blocks import Blocks
from serving.simulator.metrics import Metrics
from serving.simulator.scheduler import Limits, Scheduler
from tests.contract.stack import Simulator
from tests.integration.local_stack import LocalStack

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
QUESTION = [{"role": "user", "content": "4821 + 379"}]
ASKED: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": QUESTION}),
    (CHAT, {"messages": QUESTION, "max_tokens": 3}),
    (CHAT, {"messages": QUESTION, "n": 2, "temperature": 1}),
    (CHAT, {"messages": QUESTION, "return_token_ids": True}),
    (CHAT, {"messages": QUESTION, "stop": ["check"]}),
    (TEXT, {"prompt": "1+1=", "max_tokens": 5}),
    (TEXT, {"prompt": [20, 21, 22], "max_tokens": 5, "return_token_ids": True}),
]
OTHER_APIS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/messages", {"messages": QUESTION, "max_tokens": 500}),
    ("/v1/messages", {"messages": QUESTION, "max_tokens": 3}),
    ("/v1/responses", {"input": "4821 + 379", "store": False}),
]
REFUSED: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": QUESTION, "model": "nobody"}),
    (CHAT, {"messages": QUESTION, "max_tokens": 5000}),
    (TEXT, {"prompt": [20] * 4090, "max_tokens": 100}),
    (TEXT, {"prompt": [20] * 5000, "max_tokens": 1}),
]


def keys(value: Any) -> Any:
    """What is left of JSON without its values: keys in their order, and which values are null."""
    if isinstance(value, dict):
        return {key: keys(each) for key, each in value.items()}
    if isinstance(value, list):
        return [keys(value[0])] if value else []
    return None if value is None else "value"


class Side:
    """One of the two servers."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=60
        )

    def close(self) -> None:
        self._http.close()

    def whole(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        answer = self._http.post(path, json={"model": "r1-nano", "temperature": 0, **body})
        return answer.status_code, keys(answer.json())

    def events(self, path: str, body: dict[str, Any]) -> list[str]:
        """The kinds of events of a stream, in the order of their first appearance."""
        wanted = {"model": "r1-nano", "temperature": 0, "stream": True, **body}
        wanted["stream_options"] = {"include_usage": True}
        kinds: dict[str, None] = {}
        with self._http.stream("POST", path, json=wanted) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if line:
                    event = line.removeprefix("data: ")
                    kinds[event if event == "[DONE]" else json.dumps(keys(json.loads(event)))] = (
                        None
                    )
        return list(kinds)

    def named(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The first event of each name in a stream whose events have names."""
        wanted = {"model": "r1-nano", "temperature": 0, "stream": True, **body}
        events: dict[str, Any] = {}
        for block in self._http.post(path, json=wanted).text.split("\n\n"):
            if block.startswith("event: "):
                name, data = block.split("\n")
                events.setdefault(name[7:], keys(json.loads(data.removeprefix("data: "))))
        return events


@pytest.fixture(scope="module")
def real(stack: LocalStack) -> Iterator[Side]:
    key = stack.home.secret_file("engine.key").read_text()
    side = Side(f"http://127.0.0.1:{stack.ports.serve}/r1-nano", key)
    yield side
    side.close()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    server = Simulator(tmp_path_factory.mktemp("simulator"))
    server.control(reasoning="4821+379\ncheck", content="\\boxed{5200}")
    side = Side(server.url, "none")
    yield side
    side.close()
    server.end()


@pytest.mark.parametrize(("path", "body"), ASKED)
def test_whole_answers(real: Side, simulated: Side, path: str, body: dict[str, Any]) -> None:
    assert simulated.whole(path, body) == real.whole(path, body)


@pytest.mark.parametrize(("path", "body"), ASKED)
def test_streams(real: Side, simulated: Side, path: str, body: dict[str, Any]) -> None:
    assert simulated.events(path, body) == real.events(path, body)


@pytest.mark.parametrize(("path", "body"), REFUSED)
def test_refusals(real: Side, simulated: Side, path: str, body: dict[str, Any]) -> None:
    assert simulated.whole(path, body) == real.whole(path, body)


@pytest.mark.parametrize(("path", "body"), OTHER_APIS)
def test_other_apis(real: Side, simulated: Side, path: str, body: dict[str, Any]) -> None:
    """The simulator leaves out what the gateway doesn't read, and adds nothing."""
    assert_no_more(simulated.whole(path, body)[1], real.whole(path, body)[1])
    assert simulated.named(path, body).keys() == real.named(path, body).keys()
    for name, event in simulated.named(path, body).items():
        assert_no_more(event, real.named(path, body)[name])


def assert_no_more(ours: Any, theirs: Any) -> None:
    """Each key of ours is one of theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        assert not ours.keys() - theirs.keys()
        for name, value in ours.items():
            assert_no_more(value, theirs[name])


def test_token_counts(real: Side, simulated: Side) -> None:
    asked = {"messages": QUESTION}
    assert simulated.whole("/tokenize", asked) == real.whole("/tokenize", asked)


def test_the_metrics_have_the_real_names() -> None:
    """Each name of the simulator is one that vLLM's source has."""
    spec = find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "v1" / "metrics" / "loggers.py").read_text()
    metrics = Metrics("r1-nano")
    metrics.watch(Scheduler(Blocks(1, 1), Limits()))
    names = [family.name for family in metrics.collect()]
    assert len(names) > 8
    assert [name for name in names if f'"{name}"' not in source] == []
