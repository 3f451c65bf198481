"""`python -m r1`: the command r1 without its entry point."""

import sys

from r1.cli import main

sys.exit(main())
