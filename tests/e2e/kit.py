"""A real one-node Kubernetes, by a kit outside of this project: R1_CLUSTER_KIT names its folder.

The kit's command `cluster` knows `up`, `down`, `status`, `env`, `image-base` and
`add-gpu-node NAME GPUS`; `env` prints lines of the form `export NAME=VALUE`.
"""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path


class Kit:
    """The kit's command."""

    def __init__(self, folder: Path) -> None:
        self._command = folder / "cluster"
        self.logs = ""

    def call(self, *words: str, limit_s: float = 300) -> int:
        """Run a subcommand to its exit status; `logs` is what it wrote."""
        # A file, not a pipe: a daemon that kept its end of a pipe would never let it close.
        with tempfile.TemporaryFile("w+") as output:
            status = subprocess.call(
                [self._command, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=limit_s,
            )
            output.seek(0)
            self.logs = output.read()
        return status

    @property
    def running(self) -> bool:
        return self.call("status") == 0

    def up(self) -> None:
        assert self.call("up") == 0, self.logs

    def down(self) -> None:
        assert self.call("down") == 0, self.logs
        assert not self.running, self.logs

    def environment(self) -> dict[str, str]:
        """What a shell sets to use the cluster."""
        assert self.call("env") == 0, self.logs
        words = [shlex.split(line) for line in self.logs.splitlines()]
        given = [each[1] for each in words if len(each) == 2 and each[0] == "export"]
        return {
            name: os.path.expandvars(value)
            for name, _, value in (each.partition("=") for each in given)
        }

    def kubeconfig(self) -> str:
        """The path of an administrator's configuration."""
        found = self.environment().get("KUBECONFIG")
        assert found, f"the kit names no KUBECONFIG: {self.logs}"
        return found

    def image_base(self) -> None:
        """Base images, and a docker to build with."""
        assert self.call("image-base", limit_s=600) == 0, self.logs

    def load(self, reference: str) -> None:
        """Bring an image of the base into the cluster, which can pull none."""
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            words = ["docker", "save", "-o", archive.name, reference]
            subprocess.run(words, env={**os.environ, **self.environment()}, check=True)
            assert self.call("load", archive.name) == 0, self.logs

    def add_gpu_node(self, name: str, gpus: int) -> None:
        assert self.call("add-gpu-node", name, str(gpus)) == 0, self.logs
