"""How images get into the cluster at hand."""

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.images.docker import Docker, ask

KIT_VARIABLE = "R1_CLUSTER_KIT"
STREAM = Path("/dev/stdin")


class LoadError(RuntimeError):
    """There is no way into the cluster, or it failed; the message says what to do."""


@dataclass(frozen=True)
class Loader:
    """A command that loads an archive of images."""

    words: tuple[str, ...]
    """The command up to the archive's name."""
    more: tuple[str, ...] = ()
    """What follows that name."""
    streams: bool = True
    """Whether it reads the archive once, so that it need not be a file: they have gigabytes."""

    def command(self, archive: Path) -> list[str]:
        """The command for one archive."""
        return [*self.words, str(archive), *self.more]


def loader(environ: Mapping[str, str], context: str, has: Callable[[str], str | None]) -> Loader:
    """Choose how images are loaded. Raises LoadError.

    A kit that R1_CLUSTER_KIT names comes first; then `context`, the current context of kubectl,
    tells kind and k3d by the names that they give; else this machine's own containerd is taken.
    `has` finds a program.
    """
    if kit := environ.get(KIT_VARIABLE):
        return Loader((str(Path(kit) / "cluster"), "load"))
    name, _, cluster = context.partition("-")
    if name == "kind" and has("kind"):
        return Loader(("kind", "load", "image-archive"), ("--name", cluster), streams=False)
    if name == "k3d" and has("k3d"):
        return Loader(("k3d", "image", "import"), ("--cluster", cluster), streams=False)
    if has("ctr"):
        return Loader(("ctr", "--namespace", "k8s.io", "images", "import"))
    raise LoadError(
        "found no cluster to load images into (kind, k3d, or containerd's ctr on this machine): "
        "push them to a registry with `python -m scripts.images push REGISTRY`"
    )


def current_context() -> str:
    """The current context of kubectl; empty without one."""
    return ask(["kubectl", "config", "current-context"])[1]


def load(docker: Docker, way: Loader, reference: str) -> None:
    """Bring one image from docker into the cluster. Raises DockerError and LoadError."""
    if way.streams:
        with subprocess.Popen(way.command(STREAM), stdin=subprocess.PIPE) as loading:
            docker.save(reference, loading.stdin)
            loading.communicate()
            status = loading.returncode
    else:
        with tempfile.NamedTemporaryFile(prefix="r1-image-", suffix=".tar") as archive:
            docker.save(reference, archive)
            status = subprocess.call(way.command(Path(archive.name)), stdin=subprocess.DEVNULL)
    if status != 0:
        raise LoadError(f"{' '.join(way.words)} failed with exit status {status}: see above")
