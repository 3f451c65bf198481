"""What the pages tell a reader to ask of a running stack, asked of one that `make up` started."""

import re
from pathlib import Path

import pytest

from tests.integration.local_stack import LocalStack, wait_for
from tests.pages import README, STACK, Block, chosen
from tests.playground import Playground


@pytest.fixture
def names(stack: LocalStack, block: Block) -> dict[str, str]:
    """What stands for the placeholders of a block: a key of its own, which it may end."""
    if "KEY_ID" not in block.text:
        return {}
    made = stack.r1("keys", "create", "--name", block.name).stdout
    found = re.search(r"id (\S+);", made)
    assert found is not None, made
    return {"KEY_ID": found[1]}


@pytest.mark.parametrize("block", chosen(STACK), ids=lambda block: block.name)
def test_what_needs_a_stack_is_run(
    stack: LocalStack, block: Block, names: dict[str, str], tmp_path: Path
) -> None:
    if "r1 canary" in block.text:
        wait_for("a canary's round", lambda: "r1-nano" in stack.r1("canary", "show").stdout)
    here = dict(stack.environment)
    if block.language == "python":
        # As `eval "$(r1 env)"` sets them.
        here |= {"OPENAI_BASE_URL": stack.base_url, "OPENAI_API_KEY": stack.key}
    said = Playground(tmp_path, here).run(block, names)
    assert said.strip()
    if block.page == README:
        assert "\\boxed{5200}" in said
