# `make up`       installs what is missing and runs the local stack (ARGS="--detach --tp 2 --ep")
# `make test`     installs what is missing; lint, types, fast tests and a short real-engine proof
# `make prove`    the slow suites, then all benchmarks, recorded in docs/benchmarks.md
# `make test-X`   one folder of tests/, whole: make test-integration
# `make images`   builds the container images  (ARGS="load" brings them into a cluster too)
# `make lint`     ruff, import-linter, mypy        `make format`  ruff's formatter and fixes

PYTHON ?= python3
ARGS ?=
# Given to every pytest call: make test PYTEST_ARGS="-x -k sums".
PYTEST_ARGS ?=
# What `make test` runs. Move a real-engine test in or out with its `smoke` marker.
TEST_MARKERS ?= ((unit or property or contract) and not slow) or smoke
# What `make prove` runs.
PROVE_MARKERS ?= integration or chart or e2e or chaos or slow
# These are run, and timed, by one of the proofs (tests/e2e/measure.py).
PROVE_LATER ?= --ignore tests/e2e/test_plain.py --ignore tests/e2e/test_kuberay.py

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: up test prove images lint format environment lock

# exec: make's child is r1 itself, so Ctrl-C and SIGTERM reach it and make leaves no shell behind.
up: environment
	@exec $(BIN)/r1 up $(ARGS)

test: lint
	$(PYTEST) -m "$(TEST_MARKERS)" $(PYTEST_ARGS)

prove: environment
	$(PYTEST) -m "$(PROVE_MARKERS)" $(PROVE_LATER) $(PYTEST_ARGS)
	$(BIN)/python -m scripts.prove

test-%: environment
	$(PYTEST) tests/$* $(PYTEST_ARGS)

# Needs Docker, and nothing of this machine's Python but its standard library.
images:
	$(PYTHON) -m scripts.images $(or $(ARGS),build)

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: environment
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Two minutes the first time, a fraction of a second after that.
environment:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "r1: no $(PYTHON) on this machine: install Python 3.11 and try again." >&2; exit 1; }
	@$(PYTHON) -m scripts.bootstrap

# After a new package is installed into .venv: its version and its dependencies' into the lock.
lock: environment
	$(BIN)/python -m scripts.lock
