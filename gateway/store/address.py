"""Where a Redis is: a server, a master that sentinels know, or a cluster. Pure.

    redis://[[user]:password@]host[:port][/db]
    unix://[[user]:password@]/path[?db=0]
    redis+sentinel://[[user]:password@]host[:port],host[:port]…/master[/db]
    redis+cluster://[[user]:password@]host[:port],host[:port]…

With `rediss` instead of `redis` it speaks TLS. Options follow a `?`, and are named as redis-py
names them: `ssl_ca_certs` and so on are those of TLS. User and password are the server's own;
sentinels that want some have `sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

_REDIS_PORT = 6379
_SENTINEL_PORT = 26379
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)(?::(\d{1,5}))?")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS = (*_FILES, "ssl_cert_reqs", "ssl_check_hostname")
_SENTINELS = {"sentinel_username": "username", "sentinel_password": "password"}
_EXAMPLE = "redis://127.0.0.1:6380/0"


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL. `options` and `sentinel_options` are redis-py's arguments of a connection."""

    kind: Literal["server", "sentinel", "cluster"]
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    """The server, the sentinels, or some nodes of the cluster; none for a Unix socket."""
    master: str
    """The name by which sentinels know the master."""
    options: dict[str, Any] = field(repr=False)
    sentinel_options: dict[str, Any] = field(repr=False)

    def files(self) -> dict[str, str]:
        """The files that it names, by their options."""
        return {name: self.options[name] for name in _FILES if name in self.options}


def parse(url: str) -> Address:
    """The address that a URL gives. ValueError says what is wrong, without a password."""
    scheme, _, kind = url.partition("://")[0].partition("+")
    kind = kind or "server"
    plain_socket = scheme == "unix" and kind == "server"
    if not plain_socket and (
        scheme not in ("redis", "rediss") or kind not in ("server", "sentinel", "cluster")
    ):
        raise ValueError(
            f"must be a URL such as {_EXAMPLE}; it may begin with redis://, rediss:// (TLS), "
            "unix://, redis+sentinel:// or redis+cluster://"
        )
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"must be a URL such as {_EXAMPLE}") from error
    if parts.fragment:
        raise ValueError("must not hold a '#'; write it as %23, also in a password")
    who, _, where = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    options = {"username": unquote(user), "password": unquote(password)}
    options = {name: value for name, value in options.items() if value}
    address = Address(
        kind="sentinel" if kind == "sentinel" else "cluster" if kind == "cluster" else "server",
        tls=scheme == "rediss",
        hosts=() if plain_socket else _hosts(where, kind),
        master=_master(parts.path) if kind == "sentinel" else "",
        options={**options, **_database(parts.path, kind, plain_socket)},
        sentinel_options={},
    )
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        _take(address, name, value)
    return address


def _hosts(where: str, kind: str) -> tuple[tuple[str, int], ...]:
    hosts = []
    for each in where.split(","):
        found = _HOST.fullmatch(each)
        port = int(found[2]) if found and found[2] else _default_port(kind)
        if found is None or not 0 < port < 65536:
            raise ValueError(
                "must name each host as host or host:port; in a password write '@', '/', '?' "
                "and ',' as %40, %2F, %3F and %2C"
            )
        hosts.append((found[1].strip("[]"), port))
    if kind == "server" and len(hosts) > 1:
        raise ValueError(
            "names several hosts; begin it with redis+sentinel:// or redis+cluster://, whichever "
            "they are"
        )
    return tuple(hosts)


def _default_port(kind: str) -> int:
    return _SENTINEL_PORT if kind == "sentinel" else _REDIS_PORT


def _master(path: str) -> str:
    master = unquote(path.strip("/").split("/")[0])
    if not master:
        raise ValueError(
            "must name the master as its sentinels do: redis+sentinel://host:26379/mymaster/0"
        )
    return master


def _database(path: str, kind: str, plain_socket: bool) -> dict[str, Any]:
    if plain_socket:
        return {"path": unquote(path)}
    rest = path.strip("/")
    if kind == "sentinel":
        rest = rest.partition("/")[2]
    if kind == "cluster" and rest not in ("", "0"):
        raise ValueError(f"must end behind its hosts: a cluster has no database {rest!r}")
    return {} if not rest else {"db": _number(rest)}


def _take(address: Address, name: str, value: str) -> None:
    """Add an option of the URL's query to the address."""
    if name in _TLS:
        if not address.tls:
            raise ValueError(f"has the option {name}, which is for TLS; begin it with rediss")
        address.options[name] = value if name != "ssl_check_hostname" else _truth(name, value)
        if name == "ssl_cert_reqs" and value not in ("none", "optional", "required"):
            raise ValueError("must have none, optional or required as ssl_cert_reqs")
    elif name in _SENTINELS and address.kind == "sentinel":
        address.sentinel_options[_SENTINELS[name]] = value
    elif name in ("username", "password"):
        address.options[name] = value
    elif name == "db" and address.kind != "cluster":
        address.options[name] = _number(value)
    else:
        known = ", ".join((*_TLS, *_SENTINELS, "username", "password", "db"))
        raise ValueError(f"has the option {name!r}, which is not for it; there are {known}")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"must have a number as database, not {text!r}")
    return int(text)


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError(f"must have true or false as {name}")
    return text.lower() in ("true", "1")
