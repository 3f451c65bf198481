"""Entry of the bootstrap: finds a supported Python and goes on in it. Python 3.6 syntax."""

import os
import sys

from scripts.bootstrap.interpreters import Refusal, candidates, choose, probe


def main() -> int:
    """Make the environment fresh; returns the exit status (0, 1 refused, 130 interrupted)."""
    root = os.getcwd()
    try:
        paths = candidates(
            sys.executable,
            os.environ.get("PATH", "").split(os.pathsep),
            os.environ.get("R1_PYTHON"),
            os.path.join(root, ".venv", "bin", "python"),
        )
        chosen = choose(paths, probe)
        if chosen.path != sys.executable:
            # The rest needs the newer syntax, so it runs in the chosen Python.
            sys.stdout.flush()
            os.execv(  # noqa: S606
                chosen.path, [chosen.path, "-m", "scripts.bootstrap.ensure", root]
            )
        from scripts.bootstrap.ensure import main as ensure

        return ensure([root])
    except Refusal as refusal:
        print("r1: {}".format(refusal), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
