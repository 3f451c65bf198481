"""What the types of the configuration are made of."""

from __future__ import annotations

import ipaddress
import socket
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.store import address

_METADATA_V6 = ipaddress.IPv6Address("fd00:ec2::254")

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


def http_url(value: str) -> str:
    """The URL without a slash at its end. Raises ValueError."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable():
        raise ValueError("must be a URL such as http://127.0.0.1:8000/r1-nano")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not carry a user name or password; use key_file")
    if parts.query or parts.fragment or " " in value or parts.port == 0:
        raise ValueError("must be an address and a path, without '?', '#' or blanks")
    if is_link_local(parts.hostname):
        raise ValueError("must not be a link-local address: nothing is ever asked there")
    return value.rstrip("/")


def is_link_local(host: str) -> bool:
    """True for an address in 169.254.0.0/16 or fe80::/10, where a cloud's metadata service is.

    Also in the forms that only the system's resolver reads: 2852039166, 0xa9fea9fe, 0251.0376.1.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_link_local or address == _METADATA_V6


def _redis_url(value: str) -> str:
    address.parse(value)
    return value


def off(value: object) -> object:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


HttpUrl = Annotated[str, AfterValidator(http_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]


class Section(BaseModel):
    """One section: unknown fields are refused, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
