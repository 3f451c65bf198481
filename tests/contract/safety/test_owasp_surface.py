"""The OWASP API Security Top 10 of 2023, one test an item: API7 to API10, what is in reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from gateway.config import ConfigError, validate
from gateway.settings import Admin, Listen
from gateway.upstream.registry import parse
from tests.contract.keyed import bearer, code
from tests.contract.safety.wire import RawServer, answer
from tests.contract.safety.wrong import HEAD, WRONG, last_words
from tests.contract.stack import HTTP, Gateway, Simulator, read_stream, stream

pytestmark = pytest.mark.timeout(240)

ADMIN_ROUTES = (
    *(("GET", "/admin/keys"), ("POST", "/admin/keys"), ("GET", "/admin/keys/x")),
    *(("DELETE", "/admin/keys/x"), ("POST", "/admin/keys/x/rotate"), ("GET", "/admin/usage")),
    *(("GET", "/admin/cache"), ("DELETE", "/admin/cache")),
)


@pytest.fixture
def inside() -> Iterator[RawServer]:
    """A server of the internal network, which nobody out there may reach."""
    server = RawServer()
    yield server
    server.close()


def test_api7_2023_server_side_request_forgery(
    door: Gateway, raw: RawServer, inside: RawServer
) -> None:
    """No address that comes in a request, an answer or the registry is asked."""
    url = f"{inside.url}/secret"
    metadata = "http://169.254.169.254/latest/meta-data"
    for each in (url, metadata, "file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO"):
        image = {"type": "image_url", "image_url": {"url": each}}
        sound = {"type": "audio_url", "audio_url": {"url": each}}
        for part in (image, sound):
            refused = door.post(messages=[{"role": "user", "content": [part]}])
            assert (refused.status_code, code(refused)) == (400, "invalid_request")
        picture = {"role": "user", "content": [{"type": "input_image", "image_url": each}]}
        server = {"type": "mcp", "server_label": "x", "server_url": each}
        assert door.post("/v1/responses", input=[picture]).status_code == 400
        assert door.post("/v1/responses", input="hi", tools=[server]).status_code == 400
        block = {"type": "image", "source": {"type": "url", "url": each}}
        turns = [{"role": "user", "content": [block]}]
        assert door.post("/v1/messages", messages=turns, max_tokens=5).status_code == 400
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": each}}}
        assert door.post(response_format=schema).status_code == 400
    assert raw.asked == []
    # A model server that sends us elsewhere is not followed.
    for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
        raw.reply = answer(b"{}", f"location: {url}", status=status)
        for streamed in (False, True):
            assert door.post(stream=streamed).status_code == 502
    # Nor is what the registry or the configuration may say.
    for bad in (metadata, "http://[fe80::1]/", "file:///x", "http://me:secret@127.0.0.1/", "//x"):
        assert parse([("1", bad, '{"state": "ready"}')]) == []
        models = [{"id": "m", "upstreams": [{"url": bad}]}]
        with pytest.raises(ConfigError) as error:
            validate({"auth": {"pepper_file": "x"}, "models": models})
        assert "models.0.upstreams.0.url" in str(error.value)
        assert "secret" not in str(error.value)
    assert inside.asked == []


def test_api8_2023_security_misconfiguration(house: Gateway, vllm: Simulator) -> None:
    """Closed by default: addresses, methods, origins, documents, and words in errors."""
    assert Listen().host == Admin().host == "127.0.0.1"
    assert Admin().key_file is None
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for base in (house.url, house.admin_url):
        for method in ("TRACE", "OPTIONS", "PUT", "PATCH", "CONNECT", "FOO"):
            for path in ("/livez", "/v1/models", "/v1/chat/completions", "/admin/keys"):
                headers = {**house.headers, **origin}
                refused = HTTP.request(method, base + path, headers=headers)
                assert refused.status_code in (400, 404, 405), (method, path)
                assert house.key not in refused.text
        for path in ("/docs", "/redoc", "/static/../gateway.yaml", "/.env", "/debug", "/%2e%2e/"):
            assert HTTP.get(base + path, headers=house.headers).status_code == 404
    answers = [
        house.post(),
        house.post(model="nobody"),
        HTTP.get(house.url + "/v1/models", headers={**house.headers, **origin}),
        HTTP.get(house.url + "/nothing"),
        HTTP.get(house.admin_url + "/livez"),
        HTTP.get(house.admin_url + "/admin/keys"),
        HTTP.post(house.admin_url + "/admin/keys", content=b"{", headers=bearer(house.admin_key)),
    ]
    vllm.control(status=500)
    answers.append(house.post())
    for each in answers:
        assert each.headers["x-content-type-options"] == "nosniff"
        assert each.headers["server"] == "r1"
        assert each.headers["x-request-id"]
        assert not [name for name in each.headers if name.startswith("access-control")]
        assert "x-powered-by" not in each.headers
        for word in ("Traceback", 'File "', ".py", "/work", "secret internals", "127.0.0.1"):
            assert word not in each.text
    document = HTTP.get(house.url + "/openapi.json").text
    for secret in (house.key, house.admin_key, vllm.url, house.redis.url, "/admin"):
        assert secret not in document


def test_api9_2023_improper_inventory_management(house: Gateway) -> None:
    """What the document lists is there, and nothing else is."""
    paths: dict[str, dict[str, Any]] = HTTP.get(house.url + "/openapi.json").json()["paths"]
    methods = ("GET", "POST", "PUT", "DELETE", "PATCH")
    for path, operations in paths.items():
        url = house.url + path.replace("{name}", "r1-nano").replace("{response_id}", "x")
        for method in methods:
            found = HTTP.request(method, url, headers=house.headers, json={})
            if method.lower() in operations:
                assert found.status_code not in (405, 501), (method, path)
                assert found.status_code != 404 or "{response_id}" in path, (method, path)
            else:
                assert found.status_code in (404, 405), (method, path)
    old = ("/v0/models", "/v2/models", "/api/tags", "/v1/embeddings", "/v1/engines", "/health")
    inner = ("/tokenize", "/detokenize", "/load", "/metrics", "/control", "/seen", "/v1/files")
    for path in (*old, *inner, "/v1/", "/v1", "/", "//v1/models", "/V1/models", "/v1/models/../x"):
        assert path not in paths
        for method in ("GET", "POST"):
            found = HTTP.request(method, house.url + path, headers=house.headers)
            assert found.status_code in (404, 307), path
    for path in (*old, *inner[:3], "/admin", "/admin/", "/admin/config", "/openapi.json", "/docs"):
        found = HTTP.get(house.admin_url + path, headers=bearer(house.admin_key))
        assert found.status_code in (404, 307), path


def test_api10_2023_unsafe_consumption_of_apis(door: Gateway, raw: RawServer) -> None:
    """A model server gone wrong, or bad, gets no further than an honest error."""
    (worker,) = [psutil.Process(pid) for pid in door.worker_pids()]
    for name, reply in WRONG.items():
        before = worker.memory_info().rss
        raw.reply = reply
        for streamed in (False, True):
            told = door.post(stream=streamed)
            assert told.status_code == 502, (name, streamed, told.text)
            assert code(told).startswith("upstream_"), name
        assert worker.memory_info().rss - before < 100_000_000, name
    # What it says in headers and in the names of events is not repeated.
    raw.reply = answer(b"{}", "retry-after: nan", "x-request-id: evil", status="429 Evil")
    told = door.post()
    assert (told.status_code, told.headers["retry-after"]) == (429, "1")
    assert "evil" not in str(told.headers).lower()
    event = b'data: {"type": "x\\n\\ndata: [DONE]\\n\\n.delta", "delta": "a"}\n\n'
    raw.reply = last_words(HEAD + event)
    assert code(door.post("/v1/responses", input="hi", stream=True)) == "upstream_invalid"
    # And its worst did no harm to those who come after.
    raw.reset()
    assert door.post().json()["choices"][0]["message"]["content"] == "12"
    raw.reply = last_words(HEAD + b"data: [DONE]\n\n")
    with stream(door) as response:
        assert "[DONE]" not in read_stream(response)
    assert not door.events("internal_error")
