"""Pictures of a terminal: commands, and what they printed."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from r1.api import Endpoint

COLUMNS = 116
COMMANDS = {
    "plan": ("r1 plan deepseek-r1 --hardware 8xh200 --users 40 --ttft-ms 500 | head -13",),
    "stack": (
        'r1 chat "What is 4821 + 379?"',
        "python -m loadtests.steady --before 8 --after 4 -- r1 top --once --interval 5",
        "r1 usage --format table",
    ),
}
"""What each picture shows. `stack` asks the one that runs: a question, figures under load and what
callers saw of it, the bill."""
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<!-- made by python -m scripts.page -->
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""
"""Rich's own without the address of a web font."""


def recorded(name: str) -> str:
    """Run the commands of a picture and return it.

    Raises:
        NoStack: it needs a stack, and none runs.
        RuntimeError: a command failed.
    """
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
    }
    if name == "stack":
        endpoint = Endpoint.choose(None)
        environment |= {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": endpoint.key}
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for command in COMMANDS[name]:
        console.print(Text.assemble(("$ ", "green bold"), (command, "bold")))
        console.print(Text.from_ansi(output(command, environment)), soft_wrap=True)
        console.print()
    return console.export_svg(title="r1", theme=MONOKAI, code_format=_FORMAT, unique_id="r1")


def output(command: str, environment: dict[str, str]) -> str:
    """What a command prints on a terminal, with its colours. Raises RuntimeError if it fails."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ) as child:
        os.close(theirs)
        text = b"".join(_pieces(ours)).decode().replace("\r\n", "\n").strip("\n")
    if child.returncode:
        raise RuntimeError(f"{command}: {text}")
    return text


def _pieces(terminal: int) -> Iterator[bytes]:
    try:
        while piece := os.read(terminal, 65536):
            yield piece
    except OSError as error:
        # So Linux tells that nobody has the other side open any more.
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(terminal)
