"""Weights from an S3 bucket, by Arrow's S3 client: several files at a time, each gone on with."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyarrow import fs

from serving.errors import WeightsError
from serving.weights.manifest import NAME, File, Manifest, wanted
from serving.weights.source import Bucket

PARALLEL = 8
PIECE_BYTES = 8 * 1024 * 1024
_PART = ".part"


class BucketWeights:
    """All objects below one prefix."""

    def __init__(self, source: Bucket, environment: Mapping[str, str] = os.environ) -> None:
        """Prepare to read; credentials are AWS's usual ones of the environment or the machine."""
        self._source = source
        endpoint = source.endpoint or environment.get("AWS_ENDPOINT_URL_S3")
        endpoint = endpoint or environment.get("AWS_ENDPOINT_URL")
        region = source.region or environment.get("AWS_REGION")
        region = region or environment.get("AWS_DEFAULT_REGION")
        self._s3 = fs.S3FileSystem(
            anonymous=source.anonymous,
            endpoint_override=endpoint,
            # Another store than AWS doesn't care, and to ask AWS which one would be in vain.
            region=region or ("us-east-1" if endpoint else None),
            connect_timeout=10,
            request_timeout=60,
        )

    def listing(self) -> Manifest:
        """Return the files that serving needs, with checksums where the prefix has a manifest.

        Raises:
            WeightsError: nothing is there, or no access.
        """
        root = f"{self._source.bucket}/{self._source.prefix}"
        try:
            found = self._s3.get_file_info(fs.FileSelector(root, recursive=True))
            infos = {
                info.path.removeprefix(root + "/"): info
                for info in found
                if info.type == fs.FileType.File
            }
            known = self._known(infos)
        except OSError as error:
            raise self._explained(error) from error
        return Manifest(
            source=str(self._source),
            files={
                name: File(
                    size=infos[name].size,
                    sha256=known.get(name),
                    version=str(infos[name].mtime_ns or ""),
                )
                for name in wanted(infos, self._source)
            },
        )

    def download(self, manifest: Manifest, folder: Path) -> None:
        """Download the manifest's files, smallest first; what an earlier try left is kept.

        Raises:
            WeightsError: the store went away or refuses.
        """
        names = sorted(manifest.files, key=lambda name: manifest.files[name].size)
        with ThreadPoolExecutor(PARALLEL, "s3") as pool:
            tasks = [pool.submit(self._get, name, manifest.files[name], folder) for name in names]
            try:
                for task in tasks:
                    task.result()
            except OSError as error:
                pool.shutdown(cancel_futures=True)
                raise self._explained(error) from error

    def tidy(self, folder: Path) -> None:
        """Remove what only a download needs: nothing is left of a finished one."""

    def _get(self, name: str, file: File, folder: Path) -> None:
        final = folder / name
        if final.is_file() and final.stat().st_size == file.size:
            return
        final.parent.mkdir(parents=True, exist_ok=True)
        part = final.with_name(final.name + _PART)
        with (
            self._s3.open_input_file(self._key(name)) as remote,
            part.open("ab") as local,
        ):
            have = local.tell()
            if have > file.size:
                local.truncate(0)
                have = 0
            while have < file.size:
                piece = remote.read_at(min(PIECE_BYTES, file.size - have), have)
                if not piece:
                    raise OSError(f"{name} ended after {have} of {file.size} bytes")
                local.write(piece)
                have += len(piece)
        part.replace(final)

    def _known(self, infos: Mapping[str, object]) -> dict[str, str]:
        """Checksums from a manifest that `r1 weights pull` left beside the files, if any."""
        if NAME not in infos:
            return {}
        with self._s3.open_input_stream(self._key(NAME)) as stream:
            text = stream.read()
        try:
            manifest = Manifest.model_validate_json(text)
        except ValueError as error:
            raise WeightsError(f"{self._source}/{NAME} is damaged: upload it again") from error
        return {name: file.sha256 for name, file in manifest.files.items() if file.sha256}

    def _key(self, name: str) -> str:
        return f"{self._source.bucket}/{self._source.prefix}/{name}"

    def _explained(self, error: OSError) -> WeightsError:
        text = str(error)
        if isinstance(error, FileNotFoundError):
            what = "nothing is there: check bucket and prefix"
        elif "ACCESS_DENIED" in text or "AccessDenied" in text or "403" in text:
            what = "access is denied: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        elif "NO_SUCH_BUCKET" in text or "NoSuchBucket" in text:
            what = "there is no such bucket"
        else:
            what = f"the store can't be read: {text.splitlines()[0][:200]}"
        return WeightsError(f"{self._source}: {what}")
