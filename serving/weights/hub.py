"""Weights from the Hugging Face hub, by the hub's own library."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from serving.errors import WeightsError
from serving.weights.manifest import File, Manifest, wanted
from serving.weights.source import Hub

# What the library raises when it can't do what it was asked: HTTP's errors, files' and its own.
_FAULTS = (httpx2.HTTPError, OSError)
_PARALLEL = 8


class HubWeights:
    """One repository; the token comes from HF_TOKEN."""

    def __init__(self, source: Hub, environment: Mapping[str, str] = os.environ) -> None:
        """Prepare to read from the hub at HF_ENDPOINT, or from huggingface.co."""
        self._source = source
        self._api = HfApi(endpoint=environment.get("HF_ENDPOINT"))

    def listing(self) -> Manifest:
        """Return the files that serving needs, with the hub's own checksums.

        Raises:
            WeightsError: no such repository or revision, no access, or the hub is away.
        """
        repo = self._source.repo
        try:
            commit = self._api.model_info(repo, revision=self._source.revision).sha
            tree = self._api.list_repo_tree(repo, revision=commit, recursive=True)
            files = {each.path: each for each in tree if isinstance(each, RepoFile)}
        except _FAULTS as error:
            raise self._explained(error) from error
        return Manifest(
            source=str(self._source),
            revision=commit or "",
            files={name: _file(files[name]) for name in wanted(files, self._source)},
        )

    def download(self, manifest: Manifest, folder: Path) -> None:
        """Download the manifest's files; whole ones that an earlier try left are kept.

        A lost connection is gone on with in the middle of a file, a killed process is not: the
        library gives each process temporary files of its own, so old ones are only in the way.

        Raises:
            WeightsError: the hub went away or refuses.
        """
        for left in (folder / ".cache").rglob("*.incomplete"):
            left.unlink()
        try:
            snapshot_download(
                self._source.repo,
                revision=manifest.revision,
                local_dir=folder,
                endpoint=self._api.endpoint,
                allow_patterns=list(manifest.files),
                max_workers=_PARALLEL,
            )
        except _FAULTS as error:
            raise self._explained(error) from error

    def tidy(self, folder: Path) -> None:
        """Remove what the library keeps in a folder to go on with a download."""
        shutil.rmtree(folder / ".cache", ignore_errors=True)

    def _explained(self, error: Exception) -> WeightsError:
        repo = self._source.repo
        if isinstance(error, GatedRepoError):
            what = "the hub asks for its terms: accept them on the model's page and set HF_TOKEN"
        elif isinstance(error, RepositoryNotFoundError):
            what = "the hub has no such model, or it is private: check the id, or set HF_TOKEN"
        elif isinstance(error, RevisionNotFoundError):
            what = f"the hub has no revision {self._source.revision} of it"
        elif isinstance(error, OfflineModeIsEnabled):
            what = "HF_HUB_OFFLINE is set: unset it, or give a folder"
        else:
            what = (
                f"{type(error).__name__} while talking to {self._api.endpoint}: check the network, "
                "or fetch it elsewhere (`r1 weights pull MODEL --to FOLDER`) and give the folder"
            )
        return WeightsError(f"{repo}: {what}")


def _file(entry: RepoFile) -> File:
    # Small files are in git itself, whose id is a SHA-1 over a header and the content.
    sha256 = entry.lfs.sha256 if entry.lfs is not None else None
    return File(size=entry.size, sha256=sha256, version=entry.blob_id)
