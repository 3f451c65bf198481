"""`python -m serving.weights SOURCE`: fetch a source into this node's cache, for a replica.

Progress and result are lines of JSON on stdout: `{"progress": …}`, and at the end one
`{"obtained": …}` or `{"error": "a sentence"}`. A process of its own, because a replica's has
imported the hub's library already, switched to offline for the engine.
"""

import json
import sys
from dataclasses import asdict

from serving.errors import WeightsError
from serving.weights.cache import NodeCache
from serving.weights.fetch import obtain
from serving.weights.progress import Progress
from serving.weights.source import parse


def main() -> int:
    """Fetch; return 0, or 1 with an error line."""

    def write(kind: str, value: object) -> None:
        sys.stdout.write(json.dumps({kind: value}) + "\n")
        sys.stdout.flush()

    def report(progress: Progress) -> None:
        write("progress", progress.as_document())

    try:
        obtained = obtain(parse(sys.argv[1]), NodeCache.of(), report)
    except WeightsError as error:
        write("error", str(error))
        return 1
    write("obtained", {**asdict(obtained), "folder": str(obtained.folder)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
