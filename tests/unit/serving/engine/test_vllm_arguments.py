"""The shipped list of vLLM's arguments against vLLM's own parser.

What the parser makes of each derived command is in tests/integration/engine. vLLM is asked in a
process of its own: it takes ten seconds to import, changes the environment and warns while it does.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from serving.catalog import Catalog
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.profiles import profiles_for
from serving.engine.vllm_arguments import VllmArguments
from serving.errors import DoesNotFit
from serving.hardware import Machine

ASK = """
import dataclasses, json
from vllm import __version__
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import FrontendArgs, make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

def kind(action):
    name = type(action).__name__
    special = {"BooleanOptionalAction": "flag", "_StoreTrueAction": "switch"}
    special["_AppendAction"] = "append"
    return special.get(name) or ("list" if action.nargs == "+" else "value")

parser = make_arg_parser(FlexibleArgumentParser())
actions = {action.dest: action for action in parser._actions}
kinds = {}
for owner in (AsyncEngineArgs, FrontendArgs):
    for field in dataclasses.fields(owner):
        action = actions.get(field.name)
        if action is not None and "--" + field.name.replace("_", "-") in action.option_strings:
            kinds[field.name] = kind(action)

print("ANSWER" + json.dumps({"version": __version__, "kinds": kinds}))
"""


def cases() -> list[EngineArguments]:
    """Every model on every shape and in every profile that it fits."""
    found = []
    for model in Catalog.load():
        for machine in map(Machine.load, Machine.ids()):
            for profile in profiles_for(model, machine):
                try:
                    found.append(engine_arguments(model, machine, profile.name))
                except DoesNotFit:
                    continue
    return found


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(lines) == 1, done.stdout[-4000:]
    found: dict[str, Any] = json.loads(lines[0].removeprefix("ANSWER"))
    return found


def test_every_model_fits_somewhere() -> None:
    assert {case.model.id for case in cases()} == {model.id for model in Catalog.load()}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_list_is_that_of_the_installed_vllm(answer: dict[str, Any]) -> None:
    shipped = VllmArguments.load()
    assert answer["version"].split("+")[0] == shipped.version
    assert dict(shipped.kinds) == answer["kinds"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("enforce_eager", True, ["--enforce-eager"]),
        ("enforce_eager", False, ["--no-enforce-eager"]),
        ("disable_log_stats", True, ["--disable-log-stats"]),
        ("disable_log_stats", False, []),
        ("max_num_seqs", 8, ["--max-num-seqs", "8"]),
        ("max_num_seqs", None, []),
        ("hf_overrides", {"a": [1]}, ["--hf-overrides", '{"a":[1]}']),
        ("cudagraph_capture_sizes", [1, 8], ["--cudagraph-capture-sizes", "1", "8"]),
        ("middleware", ["a.b", "c.d"], ["--middleware", "a.b", "--middleware", "c.d"]),
    ],
)
def test_flags(name: str, value: object, words: list[str]) -> None:
    assert VllmArguments.load().flags(name, value) == words
