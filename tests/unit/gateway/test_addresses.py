"""Addresses that are never asked, however they are written."""

from __future__ import annotations

import socket

import pytest

from gateway.settings_types import http_url, is_link_local
from gateway.upstream.client import make_socket
from gateway.upstream.registry import parse


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "169.254.0.1", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376"),
        *("169.254.43518", "::ffff:169.254.169.254", "fe80::1", "fe80::1%1", "fd00:ec2::254"),
    ],
)
def test_metadata_services(host: str) -> None:
    assert is_link_local(host)
    bracketed = f"[{host}]" if ":" in host else host
    with pytest.raises(ValueError, match="link-local"):
        http_url(f"http://{bracketed}:80/")
    assert parse([("1", f"http://{bracketed}", '{"state": "ready"}')]) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "::1", "vllm", "169.254.example", "é"])
def test_others_are_asked(host: str) -> None:
    assert not is_link_local(host)


def test_a_name_that_leads_there_is_not_followed() -> None:
    place = ("169.254.169.254", 80)
    with pytest.raises(OSError, match="link-local"):
        make_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", place))
    made = make_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    made.close()


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "gopher://a/", "ftp://a/", "unix:///tmp/s", "//a", "http://", "a"),
        *("http://user@a/", "http://:pw@a/", "http://a/?x=1", "http://a/#x", "http://a:0/"),
        *("http://a:99999/", "http://a/\r\nx: y", "http://a\n/", "http://a /", "http://a/\x1b[2J"),
    ],
)
def test_what_is_no_plain_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|Port"):
        http_url(url)
    assert parse([("1", url, '{"state": "ready"}')]) == []
