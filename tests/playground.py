"""A folder in which the pages' commands are run as a reader in a checkout would run them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.pages import ROOT, Block, blocks

# `helm` of a page: it renders with the arguments of an install or an upgrade.
_HELM = """#!{python}
import os, sys
command, *words = sys.argv[1:]
if command not in ("install", "upgrade", "template"):
    sys.exit("no release here for helm " + command)
reused = ["-f", {reused!r}] if "--reuse-values" in words else []
kept = [word for word in words if word not in ("--create-namespace", "--reuse-values")]
os.execv({helm!r}, ["helm", "template", *kept[:2], *reused, *kept[2:], "--kube-version", "1.34.0"])
"""


class Playground:
    """What is in the checkout, by links; what a command writes stays here."""

    def __init__(self, folder: Path, more: Mapping[str, str] | None = None) -> None:
        """`more` is environment on top of this process's."""
        self.folder = folder
        self._tools = folder / ".tools"
        self._tools.mkdir()
        for each in ROOT.iterdir():
            if each.name not in (".git", ".pytest_cache"):
                (folder / each.name).symlink_to(each)
        kept = {name: text for name, text in os.environ.items() if not name.startswith("OPENAI_")}
        places = (self._tools, Path(sys.executable).parent, (more or kept).get("PATH", ""))
        self._environment = {
            **kept,
            **(more or {}),
            "PYTHONPATH": str(ROOT),
            "PATH": ":".join(map(str, places)),
        }

    def rendering(self, helm: str, reused: Path) -> None:
        """From now on `helm install` and `helm upgrade` render; `reused` are a release's values."""
        path = self._tools / "helm"
        code = _HELM.format(python=sys.executable, helm=helm, reused=str(reused))
        path.write_text(code, "utf-8")
        path.chmod(0o755)

    def files_of(self, page: Path) -> None:
        """Write what a page shows as a file: YAML whose first line is its name."""
        for block in blocks(page):
            first = block.text.partition("\n")[0].removeprefix("# ").partition(":")[0]
            if block.language == "yaml" and first.endswith(".yaml"):
                assert yaml.safe_load(block.text)
                (self.folder / first).write_text(block.text, "utf-8")

    def run(self, block: Block, names: Mapping[str, str] | None = None) -> str:
        """Run a block to its end; what it printed. `names` are put in place of a page's own."""
        return self.text(block, block.text, names)

    def text(self, block: Block, text: str, names: Mapping[str, str] | None = None) -> str:
        """Run a part of a block."""
        for placeholder, name in (names or {}).items():
            text = text.replace(placeholder, name)
        shell = ("bash", "-euo", "pipefail", "-c")
        words = (sys.executable, "-c") if block.language == "python" else shell
        return self.call((*words, text), block.name)

    def call(self, words: tuple[str, ...], what: str) -> str:
        """Run words here; what they printed. AssertionError if they fail."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = f"{what}: {words[-1]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, said
        return done.stdout
