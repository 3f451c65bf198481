"""What a machine must have. Each check returns one sentence that says what to do, or None."""

import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

GIB = 1 << 30
# The environment takes 3.8 GB, pip's unpacking and its cache up to 2 more.
DISK_NEEDED = 6 * GIB
# The newest C library that a wheel of locks/cpu.txt asks for (llguidance: manylinux_2_31).
GLIBC_NEEDED = (2, 31)


def platform_problem(system: str, machine: str, libc: tuple[str, str]) -> str | None:
    """`libc` is (name, version) as platform.libc_ver() gives it; ('', '') on musl and macOS."""
    needed = ".".join(str(part) for part in GLIBC_NEEDED)
    name, version = libc
    known = name == "glibc" and version.replace(".", "").isdigit()
    if (
        system == "Linux"
        and machine == "x86_64"
        and known
        and tuple(int(part) for part in version.split(".")) >= GLIBC_NEEDED
    ):
        return None
    have = " ".join(part for part in (system, machine, name, version) if part)
    return (
        f"r1's engine runs on Linux, x86-64, glibc {needed} or newer, and this machine is {have}: "
        "use such a machine, a virtual machine or a container."
    )


def disk_problem(folder: Path, free: int) -> str | None:
    """`free` is the number of bytes free at `folder`."""
    if free >= DISK_NEEDED:
        return None
    return (
        f"The disk at {folder} has {free / GIB:.1f} GiB free and the installation needs "
        f"{DISK_NEEDED // GIB}: free some space and try again."
    )


def folder_problem(folder: Path) -> str | None:
    """Try to write into `folder`; the only way that also sees read-only mounts and quotas."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return (
            f"Cannot write into {folder} ({error.strerror}): "
            "copy the checkout to a folder of your own and try there."
        )


def compiler_problem(environ: Mapping[str, str]) -> str | None:
    """The CPU engine compiles kernels when it starts, also with `enforce_eager`.

    The compiler is $CXX or g++, as PyTorch's inductor chooses it.
    """
    compiler = environ.get("CXX", "g++")
    if shutil.which(compiler, path=environ.get("PATH")):
        return None
    return (
        f"The engine compiles its kernels at start and the C++ compiler {compiler} was not found: "
        "install it (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++) "
        "or name one with CXX."
    )


def headers_problem(environ: Mapping[str, str], include: str | None = None) -> str | None:
    """Compile what the engine's kernels include: the headers of Python and OpenMP.

    `include` is the folder of Python.h; this interpreter's own by default. Takes half a second.
    """
    folder = include or sysconfig.get_path("include")
    compiler = environ.get("CXX", "g++")
    result = subprocess.run(
        [compiler, "-x", "c++", "-fopenmp", "-fsyntax-only", f"-I{folder}", "-"],
        input="#include <Python.h>\n#include <omp.h>\n",
        capture_output=True,
        text=True,
        env=dict(environ) | {"LC_ALL": "C"},
        check=False,
    )
    if result.returncode == 0:
        return None
    lines = [line for line in result.stderr.splitlines() if "error" in line]
    reason = lines[0].strip() if lines else f"exit status {result.returncode}"
    return (
        f"The C++ compiler {compiler} cannot compile what the engine needs ({reason}): install the "
        "headers of this Python (Debian, Ubuntu: apt-get install python3-dev) and OpenMP's."
    )


def free_bytes(folder: Path) -> int:
    """Bytes that an ordinary user may still write at `folder`."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize
