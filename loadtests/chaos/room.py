"""A network, mounts and shared memory of this command's own, so that no fault can leave it.

Rules of the packet filter, full disks and changed hosts files are seen by this process and its
children alone, and are gone with the last of them, however they end. It needs root.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_PR_SET_PDEATHSIG = 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


class Room:
    """What of it could be had; `None` of a reason means: all."""

    def __init__(self, folder: Path, reason: str | None) -> None:
        self.folder = folder
        self.reason = reason
        self.hosts = folder / "hosts"

    @property
    def private(self) -> bool:
        """Whether network and mounts are this command's own."""
        return self.reason is None

    @staticmethod
    def enter(folder: Path) -> Room:
        """Leave the machine's network and mounts, as far as this process may.

        Call it before any thread runs. `folder` is for the files that hide others.
        """
        reason = _why_not()
        if reason is None:
            try:
                _unshare()
            except OSError as error:
                reason = f"namespaces can't be made here ({error.strerror})"
        room = Room(folder, reason)
        if reason is None:
            _up("lo")
            mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=4g")  # noqa: S108
            room.hosts.write_text("127.0.0.1 localhost\n", "utf-8")
            nobody = folder / "resolv.conf"
            nobody.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", "utf-8")
            mount(str(room.hosts), "/etc/hosts", "", _MS_BIND, "")
            mount(str(nobody), "/etc/resolv.conf", "", _MS_BIND, "")
        return room


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    """Mount as mount(2) does. Raises OSError."""
    words = (source, target, kind, flags, options)
    given = [each.encode() if isinstance(each, str) else each for each in words]
    _check(_libc().mount(*given), target)


def unmount(target: str) -> None:
    """Take a mount away, also one that is in use. Raises OSError."""
    _check(_libc().umount2(target.encode(), 2), target)


def die_with_parent() -> None:
    """For a child before its program starts: the kernel kills it when its parent ends."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _why_not() -> str | None:
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root, for a network and mounts of its own"
    if shutil.which("iptables") is None:
        return "needs the Debian package iptables"
    return None


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _unshare() -> None:
    _check(_libc().unshare(_CLONE_NEWNS | _CLONE_NEWNET), "unshare")
    mount("none", "/", "", _MS_REC | _MS_PRIVATE, "")


def _up(device: str) -> None:
    name = device.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        told = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sh14x", name, 0))
        flags = struct.unpack("16sh14x", told)[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", name, flags | _IFF_UP))
