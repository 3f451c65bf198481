"""Prints predicted against published figures: `python -m serving.plan.calibrate [--fit]`.

The factors are fitted to all figures of the first table. Its column "left out" predicts each run
with factors that were fitted to the others: what a plan for something new may expect. No factor
was fitted to the second table.
"""

# ruff: noqa: T201 this file prints its report
import argparse
from collections.abc import Sequence
from statistics import median

from serving.plan.calibration import (
    BARS,
    CALIBRATED,
    MEDIAN_BAR,
    Comparison,
    compare,
    fit,
    leave_one_out,
    prepared,
)
from serving.plan.published import PublishedList


def print_table() -> int:
    """Print the tables and the bars; 1 if a bar is missed."""
    published = PublishedList.load()
    runs = prepared(published.fitted)
    everything = compare(runs, CALIBRATED)
    alone = leave_one_out(runs, CALIBRATED)
    factors = CALIBRATED
    print(
        f"memory {factors.memory:.3f}, compute {factors.compute:.3f}, "
        f"a kernel {factors.kernel_s * 1e6:.2f} us, a request {factors.request_s * 1e3:.1f} ms"
    )
    missed = False
    for kind, bar in BARS.items():
        errors = [abs(each.error) for each in alone if each.kind == kind]
        within = sum(error <= bar for error in errors)
        missed |= within < len(errors)
        print(
            f"{kind}: {within} of {len(errors)} within {bar:.0%} when left out, "
            f"largest {max(errors):.0%}, median {median(errors):.1%}"
        )
    middle = median(abs(each.error) for each in alone)
    print(f"all: median {middle:.1%} when left out (at most {MEDIAN_BAR:.0%})")
    print("\n| run | figure | published | predicted | error | left out |")
    print("|---|---|---|---|---|---|")
    for each, other in zip(everything, alone, strict=True):
        print(f"{_row(each)} {other.error:+.0%} |")
    for each in compare(prepared(published.never_fitted), CALIBRATED):
        print(f"{_row(each)} never fitted |")
    return int(missed or middle > MEDIAN_BAR)


def _row(each: Comparison) -> str:
    return (
        f"| {each.run} | {each.figure} | {each.published:,.4g} | {each.predicted:,.4g} "
        f"| {each.error:+.0%} |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m serving.plan.calibrate", description=__doc__)
    parser.add_argument("--fit", action="store_true", help="fit again and print the factors")
    if parser.parse_args(argv).fit:
        print(fit(prepared(PublishedList.load().fitted)))
        return 0
    return print_table()


if __name__ == "__main__":
    raise SystemExit(main())
