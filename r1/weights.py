"""`r1 weights`: fetch weights, check them, and see what this node keeps."""

import argparse
import sys
import time
from pathlib import Path

from serving.catalog import Catalog
from serving.errors import ServingError, UnknownModel, WeightsError
from serving.weights import check
from serving.weights.cache import NodeCache, free_bytes, locked
from serving.weights.fetch import Obtained, fetch_into, obtain, remote_of
from serving.weights.manifest import Manifest
from serving.weights.progress import GB, Progress
from serving.weights.source import Folder, Source, parse

SAY_EVERY_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    pull = what.add_parser("pull", help="fetch a model's weights, or go on fetching them")
    pull.add_argument(
        "source",
        metavar="MODEL|SOURCE",
        help="id or alias in the catalog, a hub id (org/name[@revision]), or s3://bucket/prefix",
    )
    pull.add_argument("--build", metavar="B", help="another build of the model, such as w4a16")
    pull.add_argument(
        "--to", type=Path, metavar="F", help="folder (default: this node's cache, by its name)"
    )
    verify = what.add_parser("verify", help="check a folder's files against their checksums")
    verify.add_argument("folder", type=Path, metavar="F")
    verify.add_argument("--build", metavar="B", help="with --against MODEL: of this build")
    verify.add_argument(
        "--against",
        metavar="MODEL|SOURCE",
        help="take the checksums from there, not from the folder's own list",
    )
    what.add_parser("list", help="list the weights in this node's cache")


def run(arguments: argparse.Namespace) -> int:
    """Do it; 0, or 1 with a sentence on stderr, or with the files that are wrong on stdout."""
    try:
        if arguments.what == "pull":
            return _pull(arguments)
        if arguments.what == "verify":
            return _verify(arguments)
        return _list()
    except ServingError as error:
        print(f"r1 weights: {error}", file=sys.stderr)
        return 1


def source_of(text: str, build: str | None = None) -> Source:
    """Return the source that a model of the catalog has, or that the text says.

    Raises:
        UnknownModel: it is neither.
        UnknownBuild: the model has no such build.
        WeightsError: the build is none of vLLM's, or the text no source.
    """
    try:
        model = Catalog.load().resolve(text)
    except UnknownModel:
        if "/" not in text or build is not None:
            raise
        return parse(text)
    weights = (model if build is None else model.using(build)).weights
    if "vllm" not in weights.engines:
        raise WeightsError(
            f"vLLM doesn't load the build {weights.id} of {model.id}: "
            f"{' or '.join(weights.engines)} fetches it itself"
        )
    return Folder(weights.path) if weights.path else parse(str(weights.hub))


class _Teller:
    """Prints progress: in place on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._in_place = sys.stderr.isatty()
        self._said = -SAY_EVERY_S
        self._phase = ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._in_place:
            sys.stderr.write(f"\r\x1b[K{progress.sentence()}")
            sys.stderr.flush()
        elif progress.phase != self._phase or now - self._said >= SAY_EVERY_S:
            self._said = now
            print(progress.sentence(), file=sys.stderr)
        self._phase = progress.phase

    def end(self) -> None:
        if self._in_place:
            sys.stderr.write("\r\x1b[K")


def _pull(arguments: argparse.Namespace) -> int:
    source = source_of(arguments.source, arguments.build)
    tell = _Teller()
    try:
        obtained = _obtain(source, arguments.to, tell)
    finally:
        tell.end()
    print(
        f"{obtained.folder}: {obtained.bytes / GB:.2f} GB, fetched in {obtained.fetch_s:.1f} s, "
        f"checked in {obtained.verify_s:.1f} s"
    )
    return 0


def _obtain(source: Source, to: Path | None, tell: _Teller) -> Obtained:
    if to is None or isinstance(source, Folder):
        return obtain(source, NodeCache.of(), tell)
    folder = to.expanduser().resolve()
    if folder.exists():
        raise WeightsError(f"{folder} exists: remove it, or `r1 weights verify {folder}`")
    folder.parent.mkdir(parents=True, exist_ok=True)

    def make_room(needed: int) -> None:
        free = free_bytes(folder.parent)
        if needed > free:
            raise WeightsError(
                f"{folder} needs {needed / GB:.1f} GB, its disk has {max(0, free) / GB:.1f} free"
            )

    with locked(folder.parent / f".{folder.name}.lock"):
        return fetch_into(remote_of(source), folder, tell, make_room)


def _verify(arguments: argparse.Namespace) -> int:
    folder = arguments.folder.expanduser()
    manifest = Manifest.load(folder)
    if arguments.against is not None:
        source = source_of(arguments.against, arguments.build)
        if isinstance(source, Folder):
            raise WeightsError(f"{source} is a folder itself: it has no list to check against")
        manifest = remote_of(source).listing()
    found = check.problems(folder, manifest)
    known = {} if manifest is None else manifest.files
    sums = check.digests(
        folder, [name for name, file in known.items() if file.sha256 and name not in found]
    )
    if manifest is not None:
        found |= check.damaged(manifest, sums)
    for name, what in found.items():
        print(f"{name} {what}")
    if found:
        return 1
    without = "" if sums else "; it has no list of checksums (`--against MODEL` takes the hub's)"
    print(f"{folder}: files are whole, {len(sums)} of them have the right SHA-256{without}")
    return 0


def _list() -> int:
    cache = NodeCache.of()
    entries = cache.entries()
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        state = "in use" if entry.in_use else f"used {used}"
        print(f"{entry.name}  {entry.bytes / GB:.2f} GB  {state}")
    print(f"{len(entries)} in {cache.root}")
    return 0
