"""Fixtures of the integration tests: one whole local stack for all tests that only ask it."""

import os
from collections.abc import Iterator

import pytest

from tests.integration.local_stack import LocalStack, detached


def weights_words() -> tuple[str, ...]:
    """Return `--weights-dir` for $R1_TEST_WEIGHTS_DIR: other weights than those that ship."""
    folder = os.environ.get("R1_TEST_WEIGHTS_DIR")
    return ("--weights-dir", folder) if folder else ()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack with both nano models, started once. Tests that break one start their own."""
    with detached(tmp_path_factory.mktemp("state"), *weights_words(), by_make=True) as made:
        yield made
