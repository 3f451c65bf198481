"""Draw every panel from a live Prometheus.

python -m scripts.observability sheet --prometheus http://127.0.0.1:9090 --out sheet/
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.observability.dashboards.reading import Times
from scripts.observability.sheet.fetch import Source
from scripts.observability.sheet.page import sheet
from scripts.observability.values import SOURCES


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 when all is drawn."""
    parser = argparse.ArgumentParser(
        prog="scripts.observability sheet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--prometheus", required=True, metavar="URL", help="where it answers")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="of the pictures")
    parser.add_argument(
        "--boards", type=Path, default=SOURCES / "rendered" / "dashboards", metavar="DIR"
    )
    parser.add_argument("--minutes", type=float, default=60, help="to look back (%(default)s)")
    parser.add_argument(
        "--rate", default="1m", metavar="DURATION", help="over which rates are taken (%(default)s)"
    )
    args = parser.parse_args(argv)
    end = time.time()
    seconds = args.minutes * 60
    source = Source(args.prometheus, end - seconds, end, step_s=max(1.0, seconds / 240))
    times = Times(rate_interval=args.rate, interval="15s", range=f"{seconds:.0f}s")
    for picture in sheet(args.boards, source, times, args.out):
        print(picture)
    return 0
