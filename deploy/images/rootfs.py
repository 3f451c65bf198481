"""Puts a Python, a virtual environment and the libraries of both under one folder.

    python rootfs.py TARGET VENV

Runs while an image is built, in the stage where VENV was made; TARGET then is all that the image
needs to run it: no shell, no package manager, no library that nothing asks for.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

USER = 10001
# Parts of the standard library that no server uses: tests, windows, installers.
UNUSED = (
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils"),
    *("pydoc_data", "site-packages", "dist-packages", "config-*", "__pycache__"),
)
# Opened by name while a program runs, so that nothing lists it: unwinding a cancelled thread.
BY_NAME = ("libgcc_s.so.1",)
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)")


def links(path: Path) -> Iterator[Path]:
    """Yield `path`, and each file that a link leads to, down to the real one."""
    yield path
    while path.is_symlink():
        path = path.parent / path.readlink()
        yield path


def libraries(files: Iterable[Path]) -> set[Path]:
    """The shared libraries that programs and libraries ask for, loader included."""
    found: set[Path] = set()
    for file in files:
        # Wheels bring some libraries of their own, found beside the file that wants them.
        listed = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False)
        found |= {Path(path) for path in _LIBRARY.findall(listed.stdout)}
    return found


def named(name: str) -> Path:
    """A library by its name, as the loader's cache has it. Raises LookupError."""
    cache = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for line in cache.splitlines():
        if line.strip().startswith(name):
            return Path(line.rpartition("=> ")[2])
    raise LookupError(f"{name} is not in this image")


def copy(target: Path, path: Path) -> None:
    """Copy a file or link to the same place under `target`, through links to folders there."""
    place = target / path.parent.resolve().relative_to("/") / path.name
    if place.exists() or place.is_symlink():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, place, follow_symlinks=False)


def accounts(target: Path) -> None:
    """The two accounts, and where names of hosts are looked up."""
    etc = target / "etc"
    etc.mkdir(parents=True, exist_ok=True)
    (etc / "passwd").write_text(
        f"root:x:0:0:root:/:/sbin/nologin\nr1:x:{USER}:{USER}:r1:/tmp:/sbin/nologin\n"
    )
    (etc / "group").write_text(f"root:x:0:\nr1:x:{USER}:\n")
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")


def main() -> None:
    """Fill TARGET."""
    target, environment = (Path(word) for word in sys.argv[1:])
    # As in Debian: the loader's path begins with /lib64, libraries' paths with /lib.
    for folder in ("lib", "lib64"):
        (target / "usr" / folder).mkdir(parents=True)
        (target / folder).symlink_to(f"usr/{folder}")
    stdlib = Path(sysconfig.get_path("stdlib"))
    ignore = shutil.ignore_patterns(*UNUSED)
    for tree in (stdlib, environment):
        ignored = ignore if tree == stdlib else shutil.ignore_patterns("__pycache__")
        shutil.copytree(tree, target / tree.relative_to("/"), symlinks=True, ignore=ignored)
    interpreter = environment / "bin" / "python"
    for path in links(interpreter):
        copy(target, path)
    binaries = [path for tree in (stdlib, environment) for path in tree.rglob("*.so*")]
    needed = libraries([interpreter, *binaries]) | {named(name) for name in BY_NAME}
    for library in sorted(needed):
        if not library.is_relative_to(environment):
            for path in links(library):
                copy(target, path)
    for folder in ("etc/ssl", "usr/lib/ssl", "usr/share/ca-certificates", "usr/share/zoneinfo"):
        if (source := Path("/") / folder).exists():
            shutil.copytree(source, target / folder, symlinks=True, dirs_exist_ok=True)
    accounts(target)
    (target / "tmp").mkdir()
    (target / "tmp").chmod(0o1777)
    compiler = [sys.executable, "-m", "compileall", "-q", "-j0"]
    options = ["--invalidation-mode", "unchecked-hash", "-s", str(target)]
    trees = [str(target / tree.relative_to("/")) for tree in (stdlib, environment)]
    subprocess.run([*compiler, *options, *trees], check=True)


if __name__ == "__main__":
    main()
