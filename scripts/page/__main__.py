"""The command line of `python -m scripts.page`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import scripts.page
from scripts.page import charts, figures, terminal
from scripts.page.benchmarks import PAGE, Benchmarks

ROOT = PAGE.parents[1]
PICTURES = ROOT / "docs" / "pictures"
READMES = {"en": ROOT / "README.md", "zh": ROOT / "README.zh.md"}


def contents() -> Iterator[tuple[Path, str]]:
    """Each file that follows from docs/benchmarks.md, and what it is to hold.

    Raises:
        LookupError: a figure is not on that page any more; the message says which.
    """
    recorded = Benchmarks.load()
    for language, path in READMES.items():
        yield path, figures.written(path.read_text("utf-8"), recorded, language)
    yield PICTURES / "benchmarks.svg", charts.drawn(recorded)


def main(words: Sequence[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts.page",
        description=scripts.page.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what", nargs="?", choices=("figures", *terminal.COMMANDS), default="figures"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if one is stale")
    given = parser.parse_args(words)
    if given.what in terminal.COMMANDS:
        (PICTURES / f"{given.what}.svg").write_text(terminal.recorded(given.what), "utf-8")
        return 0
    stale = [(path, text) for path, text in contents() if not is_text(path, text)]
    for path, text in stale:
        print(f"{path.relative_to(ROOT)} {'is stale' if given.check else 'is written'}")
        if not given.check:
            path.write_text(text, "utf-8")
    return 1 if given.check and stale else 0


def is_text(path: Path, text: str) -> bool:
    """Whether a file holds this."""
    return path.exists() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
