"""A part of a stack that leaves an orphan behind, as a killed Ray driver does."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Start a child in a session of its own, report, and end at SIGTERM without it."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    orphan = subprocess.Popen(["sleep", "600"], start_new_session=True)
    (folder / f"{name}.pids").write_text(f"{os.getpid()} {orphan.pid}")
    if "--events-fd" in sys.argv:
        with os.fdopen(int(sys.argv[sys.argv.index("--events-fd") + 1]), "w") as events:
            for what in ("ray", "r1-nano"):
                state = "failed" if (folder / "models.fail").exists() else "ready"
                events.write(json.dumps({"what": what, "state": state, "message": "no memory"}))
                events.write("\n")
            events.flush()
            signal.sigwait({signal.SIGTERM})
    else:
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
