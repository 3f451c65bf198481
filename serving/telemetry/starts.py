"""`python -m serving.telemetry.starts [URL]`: cold starts, as a telemetry port tells them."""

import sys
import urllib.request
from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

from serving.engine.cold_start import PHASES
from serving.telemetry.collector import COLD_START

DEFAULT_URL = "http://127.0.0.1:8082"


def table(exposition: str) -> str:
    """Return a Markdown table, a row a model and a column a phase, in seconds.

    Args:
        exposition: what `/metrics` answered.
    """
    took: dict[str, dict[str, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == COLD_START.name:
                took[sample.labels["model"]][sample.labels["phase"]] = sample.value
    lines = [f"| model | {' | '.join(PHASES)} | all |", "|---|" + "--:|" * (len(PHASES) + 1)]
    for model, seconds in sorted(took.items()):
        figures = [f"{seconds[phase]:.1f}" if phase in seconds else "" for phase in PHASES]
        lines.append(f"| {model} | {' | '.join(figures)} | {sum(seconds.values()):.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Ask and print."""
    url = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_URL
    if not url.startswith(("http://", "https://")):
        sys.exit(f"{url} is no address of a telemetry port, such as {DEFAULT_URL}")
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310 - http only
        sys.stdout.write(table(answer.read().decode()) + "\n")


if __name__ == "__main__":
    main()
