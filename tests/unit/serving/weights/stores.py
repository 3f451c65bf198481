"""A Hugging Face hub and an S3 store on loopback, for one model, with faults on demand."""

import hashlib
import json
import random
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REPO, COMMIT = "acme/tiny", "c" * 40
BUCKET, PREFIX = "models", "acme/tiny"


def safetensors(size: int, seed: int = 0) -> bytes:
    """A valid file with one tensor of `size` bytes that don't repeat."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + random.Random(seed).randbytes(size)


def model(size: int = 300_000) -> dict[str, bytes]:
    """The files of a model in two shards, with some that nobody needs for serving."""
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = {"weight_map": dict(zip(("a", "b"), shards, strict=True))}
    return {
        "config.json": b'{"model_type": "qwen2"}',
        "tokenizer.json": b"{}",
        "model.safetensors.index.json": json.dumps(index).encode(),
        shards[0]: safetensors(size, 1),
        shards[1]: safetensors(size // 2, 2),
        "pytorch_model.bin": b"x" * 1000,
        "modeling_tiny.py": b"raise SystemExit",
        "original/consolidated.safetensors": b"x",
    }


class Store:
    """What a server has, does wrong and has been asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.damaged: Counter[str] = Counter()
        """How many more times a file is sent with a flipped byte."""
        self.stall_after: dict[str, int] = {}
        """Bytes of a file after which its answer hangs until `go_on` is set."""
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self.sent: Counter[str] = Counter()
        """Bytes sent of each file."""
        self.requests: list[str] = []
        self.gated = False
        self.url = ""

    def listing_s3(self, prefix: str) -> bytes:
        """The answer to ListObjectsV2."""
        contents = "".join(
            f"<Contents><Key>{prefix}{name}</Key><Size>{len(data)}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for name, data in self.files.items()
            if prefix == f"{PREFIX}/"
        )
        return (
            f'<?xml version="1.0"?><ListBucketResult><Name>{BUCKET}</Name><MaxKeys>1000</MaxKeys>'
            f"<Prefix>{prefix}</Prefix><IsTruncated>false</IsTruncated>{contents}"
            "</ListBucketResult>"
        ).encode()

    def tree(self) -> list[dict[str, Any]]:
        """The hub's list of files."""
        return [
            {
                "type": "file",
                "path": name,
                "size": len(data),
                "oid": hashlib.sha1(data).hexdigest(),
                **(
                    {
                        "lfs": {
                            "oid": hashlib.sha256(data).hexdigest(),
                            "size": len(data),
                            "pointerSize": 134,
                        }
                    }
                    if name.endswith("tensors")
                    else {}
                ),
            }
            for name, data in self.files.items()
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def handle(self) -> None:
        """Serve a connection whose client may be killed."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.store.requests.append(f"{self.command} {path}")
        if path.startswith("/api/models/"):
            self._hub_api(path)
        elif path.startswith(f"/{REPO}/resolve/"):
            self._file(path.removeprefix(f"/{REPO}/resolve/").partition("/")[2])
        elif path.strip("/") == BUCKET:
            prefix = parse_qs(url.query).get("prefix", [""])[0]
            self._send(200, self.store.listing_s3(prefix), {"Content-Type": "application/xml"})
        elif path.startswith(f"/{BUCKET}/{PREFIX}/"):
            self._file(path.removeprefix(f"/{BUCKET}/{PREFIX}/"))
        else:
            self._send(404, b"")

    def _hub_api(self, path: str) -> None:
        if self.store.gated:
            headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": "accept the terms"}
            self._send(401, b"{}", headers)
        elif not path.startswith(f"/api/models/{REPO}"):
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in path:
            self._json(self.store.tree())
        else:
            self._json({"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": []})

    def _file(self, name: str) -> None:
        data = self.store.files.get(name)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        if self.command == "GET" and self.store.damaged[name] > 0:
            self.store.damaged[name] -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        first, last, status = 0, len(data) - 1, 200
        if wanted := self.headers.get("Range"):
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            status = 206
        self._send(status, data[first : last + 1], headers, name, first)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        name: str = "",
        first: int = 0,
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = self.store.stall_after.get(name)
        if limit is not None and not self.store.go_on.is_set() and first + len(body) > limit:
            self._write(name, body[: max(0, limit - first)])
            self.store.stalled.set()
            self.store.go_on.wait()
            self.close_connection = True
            return
        self._write(name, body)

    def _write(self, name: str, body: bytes) -> None:
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return
        self.store.sent[name] += len(body)


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Store]:
    """Serve a model's files as a hub and as an S3 store."""
    store = Store(files)
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        store.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
