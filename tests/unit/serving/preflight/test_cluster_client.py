"""The connection to a cluster: a server of a few lines stands for the API server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.preflight.cluster_client import METADATA_ONLY, Client, CouldNotLook, Refused

TOKEN = "hunter2"


class Answers(BaseHTTPRequestHandler):
    """Says what it was asked."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        status, text = (
            200,
            json.dumps({"path": self.path, "accept": self.headers["Accept"], "body": body}),
        )
        if "forbidden" in self.path:
            status, text = 403, json.dumps({"message": "nodes is forbidden"})
        if "odd" in self.path:
            text = "<html>"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def kubeconfig(folder: Path, server: str) -> str:
    path = folder / "config"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.fixture
def client(tmp_path: Path, address: str) -> Iterator[Client]:
    made = Client.connect(kubeconfig(tmp_path, address), "here")
    yield made
    made.close()


def test_questions_and_answers(client: Client) -> None:
    assert client.name == "here"
    answer = client.ask("GET", "/api/v1/nodes", query={"limit": "1"}, accept=METADATA_ONLY)
    assert answer == {"path": "/api/v1/nodes?limit=1", "accept": METADATA_ONLY, "body": ""}
    assert json.loads(client.ask("POST", "/x", body={"a": 1})["body"]) == {"a": 1}


def test_refusals_keep_their_status_and_reason(client: Client) -> None:
    with pytest.raises(Refused, match="nodes is forbidden") as caught:
        client.ask("GET", "/forbidden")
    assert caught.value.status == 403


def test_an_answer_that_is_no_json(client: Client) -> None:
    with pytest.raises(Refused, match="no JSON"):
        client.ask("GET", "/odd")


def test_a_server_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    client = Client.connect(kubeconfig(tmp_path, "http://127.0.0.1:1"))
    try:
        with pytest.raises(Refused, match="doesn't answer") as caught:
            client.ask("GET", "/version")
    finally:
        client.close()
    assert caught.value.status == 0
    assert TOKEN not in str(caught.value)


def test_without_configuration_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(CouldNotLook, match="set KUBECONFIG"):
        Client.connect(str(tmp_path / "nothing"))
    with pytest.raises(CouldNotLook, match="set KUBECONFIG"):
        Client.connect(kubeconfig(tmp_path, "http://127.0.0.1:1"), "no-such-context")
