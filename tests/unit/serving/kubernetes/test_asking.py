"""Asking a server that talks JSON, over a socket."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from serving.kubernetes.asking import MERGE, Server, Unanswered


class Echo(BaseHTTPRequestHandler):
    """Says what it was asked; refuses what is below /no; talks no JSON below /text."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        told: dict[str, Any] = {
            "method": self.command,
            "path": self.path,
            "token": self.headers["Authorization"],
            "kind": self.headers["Content-Type"],
            "body": body,
        }
        text = {"/text": "plain", "/empty": ""}.get(self.path, json.dumps(told))
        self.send_response(403 if self.path == "/no" else 200)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_PUT = do_PATCH = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    http = HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    tokens = iter(("one\n", "two\n"))
    try:
        yield Server(f"http://127.0.0.1:{http.server_port}/", lambda: next(tokens))
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def test_it_sends_json_with_the_token_of_the_moment(server: Server) -> None:
    told = server.ask("PATCH", "/scale", query={"a": "b c"}, body={"n": 1}, kind=MERGE)
    assert told == {
        "method": "PATCH",
        "path": "/scale?a=b+c",
        "token": "Bearer one",
        "kind": "application/merge-patch+json",
        "body": '{"n": 1}',
    }
    assert server.ask("GET", "/")["token"] == "Bearer two"


def test_an_answer_may_be_empty(server: Server) -> None:
    assert server.ask("PUT", "/empty", body={}) is None


def test_a_refusal_has_its_status_and_what_was_said(server: Server) -> None:
    with pytest.raises(Unanswered, match="GET") as caught:
        server.ask("GET", "/no")
    assert caught.value.status == 403


def test_what_is_no_json_is_no_answer(server: Server) -> None:
    with pytest.raises(Unanswered) as caught:
        server.ask("GET", "/text")
    assert caught.value.status == 0


def test_a_server_that_is_not_there_is_no_answer() -> None:
    with HTTPServer(("127.0.0.1", 0), Echo) as taken:
        url = f"http://127.0.0.1:{taken.server_port}"
    with pytest.raises(Unanswered, match="refused"):
        Server(url, lambda: "t").ask("GET", "/")
