"""Fetching on a node, in a process of its own whose lines are followed."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from serving.errors import WeightsError
from serving.weights.fetch import Obtained
from serving.weights.progress import Progress
from serving.weights.source import OFFLINE


async def fetch_here(source: str, tell: Callable[[Progress], None]) -> Obtained:
    """Run `python -m serving.weights` on this node and return what it obtained.

    What it complains of goes to this process's stderr.

    Raises:
        WeightsError: with its sentence, or with its exit code if it came to none.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "serving.weights",
        source,
        stdout=asyncio.subprocess.PIPE,
        # The engine that will load the weights is kept off the network; the fetch is not.
        env={name: value for name, value in os.environ.items() if name not in OFFLINE},
    )
    try:
        async for line in cast(asyncio.StreamReader, process.stdout):
            ((kind, value),) = json.loads(line).items()
            if kind == "progress":
                tell(Progress(**value))
            elif kind == "obtained":
                return Obtained(**{**value, "folder": Path(value["folder"])})
            else:
                raise WeightsError(value)
        code = await process.wait()
        raise WeightsError(f"fetching {source} was cut short (exit code {code}): start again")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
