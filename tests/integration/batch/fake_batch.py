"""`r1` with a worker of its own for batches: no Ray, an answer each 5 ms, and an orphan.

`fake_batch.py worker REQUESTS FD` is that worker; any other words are those of `r1`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from r1 import batch, cli
from r1.stack.keeper import MARKER

ORPHAN = """
import mmap, sys, time
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0):
    time.sleep(600)
"""


def command(job: Path, requests: Path, answers: int) -> list[str]:
    """The worker's command, in place of `r1.batch.worker_command`."""
    return [sys.executable, __file__, "worker", str(requests), str(answers)]


def work(requests: Path, answers: int) -> None:
    """Answer the requests, with a child that would outlive this process, as an engine may."""
    os.set_inheritable(answers, False)
    shared = Path("/dev/shm") / f"{os.environ[MARKER]}-{os.getpid()}"
    shared.write_bytes(bytes(4096))
    subprocess.Popen([sys.executable, "-c", ORPHAN, str(shared)], start_new_session=True)
    with os.fdopen(answers, "w") as stream, requests.open() as lines:
        for line in lines:
            row = json.loads(line)
            question = json.loads(row["body"])["messages"][0]["content"]
            body = {
                "id": "chatcmpl-1",
                # Long, so that a kill may find a line half written.
                "choices": [{"message": {"content": question * 2000}}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 5},
            }
            told = {"id": row["id"], "status": 200, "answer": json.dumps(body)}
            stream.write(json.dumps({**told, "ready": time.time()}) + "\n")
            stream.flush()
            time.sleep(0.005)


def main() -> int:
    """Be the worker, or r1 with this worker."""
    if sys.argv[1] == "worker":
        work(Path(sys.argv[2]), int(sys.argv[3]))
        return 0
    batch.worker_command = command
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
