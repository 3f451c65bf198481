"""`r1 top --once` in front of a gateway under load, and of a Prometheus that scraped it."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from r1 import cli
from tests.contract.stack import Gateway, Simulator, free_port, stream


def top(*words: str) -> tuple[int, str]:
    """Its status and what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = cli.main(["top", "--once", "--interval", "1", *words])
    return status, out.getvalue()


@pytest.fixture
def busy(gateway: Gateway, shared_vllm: Simulator) -> Iterator[Gateway]:
    """One caller after the other, each with a stream of some tokens."""
    shared_vllm.reset()
    shared_vllm.control(step_s=0.01)
    enough = threading.Event()

    def talk() -> None:
        while not enough.is_set():
            with stream(gateway) as answer:
                answer.read()

    caller = threading.Thread(target=talk)
    caller.start()
    yield gateway
    enough.set()
    caller.join()
    shared_vllm.reset()


def row(text: str) -> list[str]:
    """The line of the model, in its parts."""
    (line,) = [each for each in text.splitlines() if each.startswith("r1-nano ")]
    return line.split()


def check(text: str) -> None:
    name, up, running, waiting, rate, ttft, _, itl, _, tokens, *_ = row(text)
    assert (name, up, waiting) == ("r1-nano", "1/1", "0")
    assert int(running) <= 1
    assert float(rate) > 0
    assert float(tokens) > 5
    # Steps of 10 ms: what else it takes is the machine's.
    assert itl.endswith("ms")
    assert ttft.endswith("s")
    assert float(itl.removesuffix("ms")) >= 5
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_gateway_under_load(busy: Gateway) -> None:
    status, text = top("--url", busy.admin_url)
    assert status == 0, text
    check(text)


def test_a_prometheus(busy: Gateway) -> None:
    """Its API, as documented: what it scrapes has the labels `job` and `instance`."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            result: list[Any] = []
            if "r1_" in self.path:
                for (name, labels), value in busy.samples().items():
                    metric = {"__name__": name, "instance": "gw:8081", **dict(labels)}
                    result.append({"metric": metric, "value": [1.0, str(value)]})
            data = {"status": "success", "data": {"resultType": "vector", "result": result}}
            body = json.dumps(data).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        status, text = top("--url", f"http://127.0.0.1:{server.server_address[1]}/")
        assert status == 0, text
        check(text)
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def test_what_is_no_source_is_said(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = top("--url", f"http://127.0.0.1:{free_port()}")
    assert (status, "doesn't answer" in text) == (1, True), text
    status, text = top("--url", gateway.url)
    assert (status, "/metrics" in text) == (1, True), text
    status, text = top("--url", "nonsense")
    assert (status, "is no URL" in text) == (1, True), text
    status, text = top("--port-base", "64000")
    assert (status, "no stack runs" in text) == (1, True), text
