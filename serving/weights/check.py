"""Whether a folder holds a whole and undamaged model."""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving.errors import WeightsError
from serving.weights.manifest import Manifest

INDEX = "model.safetensors.index.json"
# One of them; without any the engine starts with an empty vocabulary, and answers nonsense.
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
# A header names each tensor in about 100 bytes; the largest models have 100,000 tensors.
LARGEST_HEADER = 100_000_000
THREADS = 8


def problems(folder: Path, manifest: Manifest | None = None) -> dict[str, str]:
    """Return what is wrong with a model's files, by their names; {} for a good folder.

    Looks at names, sizes and safetensors headers: milliseconds, whatever the model's size.
    """
    if not folder.is_dir():
        return {str(folder): "there is no such folder"}
    found = {} if (folder / "config.json").is_file() else {"config.json": "missing"}
    if not any((folder / name).is_file() for name in TOKENIZERS):
        found[TOKENIZERS[0]] = "missing"
    weights = sorted(path.name for path in folder.glob("*.safetensors"))
    expected: set[str] = set()
    try:
        expected |= _indexed(folder)
    except (ValueError, KeyError, TypeError, AttributeError):
        found[INDEX] = "is damaged"
    if manifest is not None:
        expected |= set(manifest.files)
        for name, file in manifest.files.items():
            size = _size(folder / name)
            if size is not None and size != file.size:
                found[name] = f"has {size:,} bytes instead of {file.size:,}"
    found |= {name: "missing" for name in expected if not (folder / name).is_file()}
    if not weights and not any(name.endswith(".safetensors") for name in expected):
        found["*.safetensors"] = "missing"
    for name in weights:
        try:
            fault = header_fault(folder / name)
        except PermissionError:
            fault = f"can't be read by user {os.geteuid()}: `chmod a+r` it"
        if fault and name not in found:
            found[name] = fault
    return dict(sorted(found.items()))


def header_fault(path: Path) -> str | None:
    """Return what a safetensors file's header says against its size, or None.

    The format: 8 bytes with the header's length, the header in JSON, then the tensors' bytes,
    whose last offset is the end of the file (https://huggingface.co/docs/safetensors).
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(LARGEST_HEADER, size - 8):
            return "is cut short or no safetensors file"
        try:
            header = json.loads(stream.read(length))
            ends = [
                tensor["data_offsets"][1]
                for name, tensor in header.items()
                if name != "__metadata__"
            ]
            end = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "has a damaged header"
    return None if end == size else f"has {size:,} bytes, its header says {end:,}"


def digests(folder: Path, names: Iterable[str], threads: int = THREADS) -> dict[str, str]:
    """Return the SHA-256 of files in hexadecimal, several read at a time."""

    def digest(name: str) -> str:
        with (folder / name).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    chosen = list(names)
    workers = max(1, min(threads, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers, "sha256") as pool:
        return dict(zip(chosen, pool.map(digest, chosen), strict=True))


def damaged(manifest: Manifest, found: dict[str, str]) -> dict[str, str]:
    """Return the files whose digest is not the manifest's."""
    return {
        name: "is damaged: its SHA-256 is not the source's"
        for name, digest in found.items()
        if manifest.files[name].sha256 not in (None, digest)
    }


def require(folder: Path, found: dict[str, str], mend: str) -> None:
    """Refuse a folder with problems.

    Raises:
        WeightsError: a sentence with the first problems and the mend.
    """
    if not found:
        return
    told = [f"{name} {what}" for name, what in list(found.items())[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    raise WeightsError(f"weights in {folder}: {', '.join(told)}{more}; {mend}")


def _indexed(folder: Path) -> set[str]:
    """The files that the index names; none where the model is one file, without an index."""
    index = folder / INDEX
    if not index.is_file():
        return set()
    return set(json.loads(index.read_bytes())["weight_map"].values())


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
