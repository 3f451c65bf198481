"""The command line of `python -m scripts.chart`."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import scripts.chart
from scripts.chart import catalog, readme, schema

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "r1"

# Each writer gives the whole text of its file in the chart's folder.
WRITERS: Mapping[str, tuple[str, Callable[[Path], str]]] = {
    "catalog": ("files/catalog.yaml", catalog.text),
    "schema": ("values.schema.json", schema.text),
    "readme": ("README.md", readme.text),
}


def stale(folder: Path) -> list[str]:
    """The names of the writers whose file says something else."""
    return [
        name
        for name, (file, text) in WRITERS.items()
        if not (folder / file).exists() or (folder / file).read_text("utf-8") != text(folder)
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts.chart",
        description=scripts.chart.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(WRITERS))
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(words)
    unknown = sorted(set(given.names) - set(WRITERS))
    if unknown:
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join(WRITERS)}")
    if given.check:
        found = stale(CHART)
        for name in found:
            print(f"{WRITERS[name][0]} is stale: run `python -m scripts.chart {name}`")
        return 1 if found else 0
    for name in given.names or WRITERS:
        file, text = WRITERS[name]
        (CHART / file).write_text(text(CHART), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
