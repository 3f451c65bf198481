"""Prints what an image is made of, as CycloneDX 1.6: `python sbom.py LOCK ROOT`.

Runs while the image is built, with the image's own Python, so that each package of the lock is
there with the version and licence that were installed; beside them Python itself, and the system's
packages of which ROOT, the image's file system, has a file. Two builds of the same packages print
the same bytes. Exits with 1 where the installed packages are not those of the lock.
"""

import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(path: Path) -> dict[str, str]:
    """The lock as {canonical name: version}."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pins = (line.partition("==") for line in lines if line and not line.startswith("#"))
    return {canonical(name): version for name, _, version in pins}


def python_packages() -> list[dict[str, Any]]:
    """A component for each installed distribution but pip and its helpers."""
    found = []
    for package in importlib.metadata.distributions():
        name = canonical(package.metadata["Name"])
        component: dict[str, Any] = {
            "type": "library",
            "name": name,
            "version": package.version,
            "purl": f"pkg:pypi/{name}@{package.version.replace('+', '%2B')}",
        }
        if licence := package.metadata.json.get("license_expression"):
            component["licenses"] = [{"expression": licence}]
        found.append(component)
    return sorted(found, key=lambda component: str(component["name"]))


def has_a_file(root: Path, package: str) -> bool:
    """Whether `root` has a file that a Debian package brought."""
    info = Path("/var/lib/dpkg/info")
    # A package that several architectures may share carries its own in the list's name.
    lists = [*info.glob(f"{package}.list"), *info.glob(f"{package}:*.list")]
    files = (line for each in lists for line in each.read_text(encoding="utf-8").splitlines())
    return any((root / file.lstrip("/")).is_file() for file in files)


def system_packages(root: Path) -> list[dict[str, Any]]:
    """A component for each Debian or Ubuntu package that is in `root`."""
    release = dict(
        line.rstrip().split("=", 1)
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
        if "=" in line
    )
    kind = release.get("ID", "debian")
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for line in sorted(listed.stdout.splitlines()):
        name, version, architecture = line.split()
        if not has_a_file(root, name):
            continue
        escaped = version.replace("+", "%2B").replace(":", "%3A")
        purl = f"pkg:deb/{kind}/{name}@{escaped}?arch={architecture}"
        found.append({"type": "library", "name": name, "version": version, "purl": purl})
    return found


def main() -> int:
    """Print the document."""
    packages = python_packages()
    installed = {component["name"]: component["version"] for component in packages}
    wrong = sorted(set(installed.items()) ^ set(locked(Path(sys.argv[1])).items()))
    if wrong:
        print(f"not the lock's packages: {wrong}", file=sys.stderr)
        return 1
    version = platform.python_version()
    python = {
        "type": "platform",
        "name": "cpython",
        "version": version,
        "purl": f"pkg:generic/cpython@{version}",
    }
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": [python, *packages, *system_packages(Path(sys.argv[2]))],
    }
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
