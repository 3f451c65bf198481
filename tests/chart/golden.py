"""What the chart rendered when somebody last looked: `python -m tests.chart.golden` writes it.

The default is kept whole. Of other values only the documents are kept that the default doesn't have
just so: a change of something that all have in common is then seen once and not thirty times.
"""

import os
from pathlib import Path

from tests.chart.helm import VALUES, Helm

GOLDEN = Path(__file__).parent / "golden"
_BREAK = "---\n"


def golden_file(files: tuple[Path, ...]) -> Path:
    """Where the rendering of these values is kept."""
    return GOLDEN / f"{'-'.join(f'{f.parent.name}-{f.stem}' for f in files) or 'default'}.yaml"


def kept(helm: Helm, files: tuple[Path, ...]) -> str:
    """What is kept of the rendering of these values."""
    if not files:
        return helm.text()
    own, usual = helm.text(*files).split(_BREAK), helm.text().split(_BREAK)
    return _BREAK.join(document for document in own if document not in usual)


def main() -> None:
    """Write all of them, with the helm on PATH."""
    helm = Helm(os.environ)
    # All of it first: a helm that is missing, or refuses, leaves what is there.
    texts = {golden_file(files): kept(helm, files) for files in ((), *((file,) for file in VALUES))}
    GOLDEN.mkdir(exist_ok=True)
    for old in set(GOLDEN.glob("*.yaml")) - texts.keys():
        old.unlink()
    for file, text in texts.items():
        file.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
