"""Render rules and alerts from deploy/observability/, and dashboards.

python -m scripts.observability            # deploy/observability/rendered/ and the chart's files
python -m scripts.observability --check    # exit status 1 where those are stale
python -m scripts.observability --set memory_high=0.9 --plain > rules.yaml
python -m scripts.observability sheet --prometheus URL --out DIR   # every panel as a picture
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from scripts.observability import render
from scripts.observability.values import SOURCES, UnknownValue, replaced


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 unless something is stale, or a value has no place."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["sheet"]:
        # Imported here: matplotlib takes a second, and rendering does not need it.
        from scripts.observability.sheet import command

        return command.main(words[1:])
    parser = argparse.ArgumentParser(
        prog="scripts.observability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing, tell what is stale")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="print the rules with this in place of a default of defaults.yaml (repeatable)",
    )
    parser.add_argument(
        "--plain", action="store_true", help="print them with the threshold table read plainly"
    )
    parser.add_argument(
        "--faster", type=float, default=1, metavar="N", help="print them N times faster, for drills"
    )
    args = parser.parse_args(words)
    if args.set or args.plain or args.faster != 1:
        try:
            values = replaced(args.set)
        except UnknownValue as wrong:
            parser.error(str(wrong))
        sys.stdout.write(render.text(render.groups(values, plain=args.plain, faster=args.faster)))
        return 0
    files = render.files()
    stale = [
        path
        for path, text in files.items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]
    for path in stale:
        print(f"{'stale' if args.check else 'written'}: {path.relative_to(SOURCES.parents[1])}")
        if not args.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], "utf-8")
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
