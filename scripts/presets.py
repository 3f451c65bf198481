"""Writes all that the chart takes from the plan; `--check` says what is stale instead.

The chart's presets and those of its `ci/` values that are made of them, the table of rules that
its templates read, and the table in docs/sizing.md. `python -m scripts.presets`.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from r1.cli import parser
from r1.helm.sizing import with_table
from r1.helm.table import as_json
from r1.helm.text import as_text
from r1.plan import beside, find

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "r1"
SIZING = ROOT / "docs" / "sizing.md"
R1 = "deepseek-r1 --hardware"
DISTILL = "deepseek-r1-distill-"
DISTILLS = {
    "qwen-1.5b": "1xl4",
    "qwen-7b": "1xl40s",
    "llama-8b": "1xl40s",
    "qwen-14b": "1xh100",
    "qwen-32b": "8xh100",
    "llama-70b": "8xh100",
}
"""Each distill and the GPUs that hold it in 16 bits with its whole context."""
BESIDE = " ".join(f"--beside {DISTILL}{each}@{place}/default" for each, place in DISTILLS.items())
PRESETS: Mapping[str, str] = {
    "nano": (
        "r1-nano --hardware cpu --profile default --users 8 "
        "--prompt-tokens 40 --answer-tokens 300 --beside r1-distill-nano@cpu/default"
    ),
    "r1-8xh200-latency": f"{R1} 8xh200 --profile latency --users 16",
    "r1-8xh200-throughput": f"{R1} 8xh200 --profile throughput --users 384",
    "r1-16xh100": f"{R1} 2x8xh100 --profile two-node --users 64",
    "r1-b200": f"{R1} 8xb200 --profile latency --users 32",
    "r1-mi300x": f"{R1} 8xmi300x --profile latency --users 32",
    "r1-w4a16-8x80gb": f"{R1} 8xh100 --profile compact --users 32",
    **{
        f"distill-{each}": f"{DISTILL}{each} --hardware {place} --profile default --users 16"
        for each, place in DISTILLS.items()
    },
    "family": f"{R1} 8xh200 --profile latency --users 16 {BESIDE}",
}
"""Arguments of `r1 plan … --helm` for each preset."""
OPERATED = ("nano", "r1-16xh100", "family")
"""Those of which CI looks at a RayService too."""


def contents() -> Iterator[tuple[Path, str]]:
    """Each file and what it is to hold.

    Raises:
        RuntimeError: targets are missed.
        ServingError: nothing fits.
    """
    planned = {}
    for name, words in PRESETS.items():
        arguments = parser("plan").parse_args(["plan", *words.split(), "--helm"])
        plans = [find(arguments), *beside(arguments)]
        missed = [plan.best.missed for plan in plans if plan.best.missed is not None]
        if missed:
            raise RuntimeError(f"{name}: {missed[0]}")
        planned[name] = plans
        text = as_text(plans, f"r1 plan {words} --helm")
        yield CHART / "presets" / f"{name}.yaml", text
        if name in OPERATED:
            yield CHART / "ci" / f"kuberay-{name}-values.yaml", f"runtime: kuberay\n{text}"
    yield CHART / "files" / "plan.json", as_json()
    yield SIZING, with_table(SIZING.read_text("utf-8"), planned)


def main(words: list[str]) -> int:
    """Write the files, or with `--check` name those that are not as they would be written."""
    stale = 0
    for path, text in contents():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale += 1
        print(path.relative_to(ROOT))
        if "--check" not in words:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if "--check" in words and stale:
        print("these are stale: run `python -m scripts.presets`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
