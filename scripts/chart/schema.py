"""values.schema.json: written by hand but for what the gateway's own types say of its settings.

So a misspelt or impossible setting of the gateway is refused by `helm install`, with the same
bounds as the gateway itself has.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.model_settings import ModelSettings
from gateway.settings import Settings

# The chart gives these itself: models from `models` and `gateway.models`, the store's URL, which
# holds a password, and the ports.
_NOT_HERE = ("models", "store.url", "store.cache_url", "listen.host", "listen.port", "admin")
PREFIX = "gateway:"


def text(folder: Path) -> str:
    """The schema of the chart in `folder`, what the gateway says of its settings renewed."""
    schema = json.loads((folder / "values.schema.json").read_text("utf-8"))
    others = {
        name: body for name, body in schema["definitions"].items() if not name.startswith(PREFIX)
    }
    schema["definitions"] = {**others, **definitions()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def definitions() -> dict[str, Any]:
    """The gateway's settings as definitions, none of them required: they override others."""
    whole = Settings.model_json_schema()
    found = {**whole["$defs"], "Settings": {**whole, "$defs": None}}
    model = ModelSettings.model_json_schema()
    found["ModelSettings"] = {**model, "$defs": None}
    bare = {f"{PREFIX}{name}": _bare(body) for name, body in sorted(found.items())}
    for field in _NOT_HERE:
        section, _, name = field.partition(".")
        settings = bare[f"{PREFIX}Settings"]["properties"]
        if name:
            owner = settings[section]["$ref"].rpartition("/")[2]
            del bare[owner]["properties"][name]
        else:
            del settings[section]
    # The id is the key in the values; without upstreams the chart's own are asked.
    del bare[f"{PREFIX}ModelSettings"]["properties"]["id"]
    used = set(_reached(bare, [f"{PREFIX}Settings", f"{PREFIX}ModelSettings"]))
    return {name: body for name, body in bare.items() if name in used}


def _bare(body: Any) -> Any:
    """Without titles, defaults and what is required, and with references that Helm finds."""
    if isinstance(body, list):
        return [_bare(each) for each in body]
    if not isinstance(body, dict):
        return body
    if "$ref" in body:
        name = body["$ref"].rpartition("/")[2]
        return {"$ref": f"#/definitions/{PREFIX}{name}"}
    kept = {
        key: {name: _bare(each) for name, each in value.items()}
        if key == "properties"
        else _bare(value)
        for key, value in body.items()
        if key not in ("title", "default", "description", "required", "$defs", "format")
    }
    # YAML reads a bare `off` as false, and so does Helm; the gateway knows.
    if "off" in kept.get("enum", ()):
        kept = {"enum": [*kept["enum"], False]}
    return kept


def _reached(all_of_them: dict[str, Any], names: list[str]) -> Iterator[str]:
    for name in names:
        yield name
        yield from _reached(all_of_them, list(_references(all_of_them[name])))


def _references(body: Any) -> Iterator[str]:
    if isinstance(body, dict):
        if "$ref" in body:
            yield body["$ref"].rpartition("/")[2]
        for each in body.values():
            yield from _references(each)
    elif isinstance(body, list):
        for each in body:
            yield from _references(each)
