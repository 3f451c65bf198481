"""Getting a model's files: from a cache or a source, checked, with progress."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serving.weights import check
from serving.weights.cache import PARTIAL, NodeCache
from serving.weights.manifest import Manifest
from serving.weights.progress import Progress, bytes_below
from serving.weights.source import Bucket, Folder, Remote, Source, cache_key

Report = Callable[[Progress], None]
TICK_S = 1.0


class RemoteWeights(Protocol):
    """Where files are downloaded from."""

    def listing(self) -> Manifest:
        """Return the files that there are. Raises WeightsError."""

    def download(self, manifest: Manifest, folder: Path) -> None:
        """Download what is missing in the folder. Raises WeightsError."""

    def tidy(self, folder: Path) -> None:
        """Remove from the folder what was only there to go on with a download."""


@dataclass(frozen=True, slots=True)
class Obtained:
    """A model's folder on this node and what it took, in seconds."""

    folder: Path
    bytes: int
    fetch_s: float
    verify_s: float


def remote_of(source: Remote) -> RemoteWeights:
    """Return the client of a source."""
    # Imported when needed: each brings a library of its own.
    if isinstance(source, Bucket):
        from serving.weights.bucket import BucketWeights

        return BucketWeights(source)
    from serving.weights.hub import HubWeights

    return HubWeights(source)


def obtain(
    source: Source,
    cache: NodeCache,
    report: Report,
    remote: Callable[[Remote], RemoteWeights] = remote_of,
) -> Obtained:
    """Return a folder of this node with a source's files, fetched if they aren't there yet.

    What is fetched is checked by checksum; what is there already by sizes and headers, and fetched
    anew if it isn't whole any more.

    Raises:
        WeightsError: they can't be had, or are damaged; the message says what to do.
    """
    began = time.monotonic()
    if isinstance(source, Folder):
        manifest = Manifest.load(source.path)
        found = check.problems(source.path, manifest)
        check.require(source.path, found, "is it the right folder, and whole?")
        return Obtained(source.path, bytes_below(source.path), 0.0, time.monotonic() - began)
    name = cache_key(source)
    folder = cache.folder(name)
    if not folder.is_dir() and cache.is_being_fetched(name):
        report(Progress("waiting"))
    with cache.fetching(name):
        waited = time.monotonic() - began
        if folder.is_dir():
            checking = time.monotonic()
            found = check.problems(folder, Manifest.load(folder))
            if not found:
                verified = time.monotonic() - checking
                return Obtained(folder, bytes_below(folder), waited, verified)
            shutil.rmtree(folder)
        return fetch_into(remote(source), folder, report, lambda size: cache.make_room(name, size))


def fetch_into(
    remote: RemoteWeights,
    folder: Path,
    report: Report,
    make_room: Callable[[int], object],
) -> Obtained:
    """Fetch all files into a new folder, which appears when they are whole and checked.

    What a killed fetch left beside it is gone on with if the source is still the same. A file that
    arrives damaged is fetched a second time.

    Raises:
        WeightsError: the source is away, the disk too small, or a file damaged twice.
    """
    began = time.monotonic()
    manifest = remote.listing()
    partial = folder.with_name(folder.name + PARTIAL)
    if partial.exists() and Manifest.load(partial) != manifest:
        shutil.rmtree(partial)
    have = bytes_below(partial) if partial.exists() else 0
    make_room(manifest.total_bytes - have)
    partial.mkdir(parents=True, exist_ok=True)
    manifest.save(partial)
    verify_s = 0.0
    for attempt in (1, 2):
        with _ticking(partial, manifest, began, have, report):
            remote.download(manifest, partial)
        checking = time.monotonic()
        report(Progress("verify", manifest.total_bytes, manifest.total_bytes))
        found = check.problems(partial, manifest)
        whole = [name for name in manifest.files if name not in found]
        sums = check.digests(partial, whole)
        found |= check.damaged(manifest, sums)
        verify_s += time.monotonic() - checking
        if not found:
            break
        for name in found:
            (partial / name).unlink(missing_ok=True)
        if attempt == 2:
            check.require(partial, found, f"{manifest.source} itself may be damaged")
    remote.tidy(partial)
    known = {
        name: file.model_copy(update={"sha256": sums[name]})
        for name, file in manifest.files.items()
    }
    manifest.model_copy(update={"files": known}).save(partial)
    partial.replace(folder)
    fetch_s = time.monotonic() - began - verify_s
    return Obtained(folder, manifest.total_bytes, fetch_s, verify_s)


@contextmanager
def _ticking(
    folder: Path, manifest: Manifest, began: float, have: int, report: Report
) -> Iterator[None]:
    """Report each second what is on the disk: the same for every source."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(TICK_S):
            report(now())

    def now() -> Progress:
        done = min(bytes_below(folder), manifest.total_bytes)
        seconds = time.monotonic() - began
        return Progress("fetch", done, manifest.total_bytes, seconds, max(0, done - have))

    report(now())
    ticker = threading.Thread(target=tick, name="weights-progress", daemon=True)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()
    report(now())
