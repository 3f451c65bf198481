"""The arguments that this vLLM has, known without importing it (that takes ten seconds).

`vllm_arguments.json` lists them by what their command-line flag takes; a slow test compares the
list with the installed vLLM.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from serving.errors import UnknownArgument, nearest

SHIPPED = Path(__file__).resolve().parent / "vllm_arguments.json"

Kind = Literal["flag", "switch", "value", "list", "append"]
"""`--x`/`--no-x`; `--x` alone; `--x V`; `--x V W …`; `--x V --x W …`."""


@dataclass(frozen=True, slots=True)
class VllmArguments:
    """Names of the fields of AsyncEngineArgs and FrontendArgs, with the kind of their flag."""

    version: str
    kinds: Mapping[str, Kind]

    @classmethod
    def load(cls, path: Path = SHIPPED) -> "VllmArguments":
        """Read the shipped list."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        kinds: dict[str, Kind] = {}
        for group in ("engine", "frontend"):
            for kind in get_args(Kind):
                kinds.update(dict.fromkeys(raw[group].get(kind, ()), kind))
        return cls(version=raw["version"], kinds=kinds)

    def check(self, name: str, value: object) -> None:
        """Refuse a name that vLLM does not have, and a value of the wrong sort.

        Raises:
            UnknownArgument: with near names, or with what the argument takes.
        """
        kind = self.kinds.get(name)
        if kind is None:
            raise UnknownArgument(
                f"vLLM {self.version} has no argument `{name}`; {nearest(name, self.kinds)}"
            )
        if kind in ("flag", "switch") and not isinstance(value, bool):
            raise UnknownArgument(f"`{name}` is a switch: give true or false, not {value!r}")
        if kind in ("list", "append") and not isinstance(value, list | tuple | None):
            raise UnknownArgument(f"`{name}` takes a list, not {value!r}")
        if kind == "value" and isinstance(value, bool):
            raise UnknownArgument(f"`{name}` takes a value, not {value!r}")

    def flags(self, name: str, value: Any) -> list[str]:
        """The command-line words that set an argument; none for a None, which is the default."""
        option = "--" + name.replace("_", "-")
        kind = self.kinds[name]
        if value is None:
            return []
        if kind == "flag":
            return [option if value else "--no-" + option.removeprefix("--")]
        if kind == "switch":
            return [option] if value else []
        if kind == "list":
            return [option, *map(_word, value)]
        if kind == "append":
            return [word for each in value for word in (option, _word(each))]
        return [option, _word(value)]


def _word(value: object) -> str:
    if isinstance(value, Mapping | list):
        return json.dumps(value, separators=(",", ":"))
    return str(value)
