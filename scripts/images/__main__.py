"""`python -m scripts.images`: see the package's text."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.images.catalog import IMAGES, ROOT, Image, UnknownImage, chosen, version
from scripts.images.docker import Docker, DockerError, ask, find
from scripts.images.loaders import LoadError, current_context, load, loader


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="scripts.images", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for name, text in (
        ("build", "build images"),
        ("load", "build images and load them into the cluster at hand"),
        ("push", "build images and push them to a registry"),
    ):
        one = commands.add_parser(name, help=text)
        if name == "push":
            one.add_argument("registry", help="such as registry.example.com/team")
        one.add_argument(
            "names", nargs="*", metavar="NAME", help=f"{', '.join(IMAGES)}; the CPU ones by default"
        )
        one.add_argument("--tag", default=version(), help="the project's version by default")
        one.add_argument(
            *("--build-arg",),
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="of the Dockerfile, such as BASE=python:3.11-slim-bookworm@sha256:…",
        )
    return top


def revision(root: Path) -> str:
    """The commit that is built, with `-dirty` behind it where files were changed."""
    status, commit = ask(["git", "-C", str(root), "rev-parse", "HEAD"])
    if status != 0:
        return "unknown"
    changed = ask(["git", "-C", str(root), "status", "--porcelain"])[1]
    return f"{commit}-dirty" if changed else commit


def build(docker: Docker, images: Sequence[Image], tag: str, more: Sequence[str]) -> None:
    """Build the images one after the other. Raises DockerError."""
    given = dict(each.partition("=")[::2] for each in more)
    stamp = {"VERSION": tag, "REVISION": revision(ROOT)}
    for image in images:
        began = time.monotonic()
        docker.build(ROOT, image, image.reference(tag), {**stamp, **given})
        print(f"built {image.reference(tag)} in {time.monotonic() - began:.0f} s", flush=True)


def bring(docker: Docker, references: Sequence[str]) -> None:
    """Load built images into the cluster. Raises DockerError and LoadError."""
    way = loader(os.environ, current_context(), shutil.which)
    for reference in references:
        began = time.monotonic()
        load(docker, way, reference)
        print(f"loaded {reference} in {time.monotonic() - began:.0f} s", flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status (0, or 1 with a sentence on standard error)."""
    given = parser().parse_args(words)
    try:
        images = chosen(given.names)
        docker = Docker(find(os.environ.get("PATH", "")))
        build(docker, images, given.tag, given.build_arg)
        if given.command == "load":
            bring(docker, [image.reference(given.tag) for image in images])
        if given.command == "push":
            for image in images:
                docker.push(image.reference(given.tag), image.reference(given.tag, given.registry))
    except (UnknownImage, DockerError, LoadError) as error:
        print(f"r1: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
