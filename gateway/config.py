"""Reads the configuration: one YAML file, each field of it overridable by environment.

`R1_GATEWAY__LISTEN__PORT=9000` overrides `listen.port`; list items go by number
(`R1_GATEWAY__MODELS__0__CONTEXT_LENGTH`). Lists and objects may be given as YAML or JSON.
Each fault names its field (and the variable that set it) and says what to do.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gateway.settings import Settings
from gateway.store.address import parse

ENV_PREFIX = "R1_GATEWAY__"


class ConfigError(Exception):
    """The configuration is wrong. The message has one line a fault: field, fault, mend."""


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read `path`, apply the overrides in `environ`, and validate.

    Raises ConfigError, whose message names each wrong field and what it should be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: can't be read ({error.strerror}); give an existing file with --config"
        ) from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {_one_line(error)}") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must be a mapping of sections (listen, admin, models, …)")
    overridden = apply_environment(data, environ)
    settings = validate(data, overridden)
    # Not resolved: where a file is a link that gets swapped, its target goes away one day.
    settings = _with_store_url(_with_absolute_files(settings, path.absolute().parent))
    _check_files(settings)
    _check_packages(settings)
    return settings


def validate(data: Any, overridden: Mapping[str, str] | None = None) -> Settings:
    """Settings from plain data. `overridden` maps a field to the variable that set it."""
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(fault_lines(error.errors(), overridden))) from error


def fault_lines(
    faults: Sequence[Any], overridden: Mapping[str, str] | None = None, prefix: str = ""
) -> list[str]:
    """A line for each fault that pydantic found; each line begins with `prefix`."""
    lines = []
    for fault in faults:
        if fault["type"] == "too_short" and _has_faults_inside(fault, faults):
            # A list whose items are wrong is also called too short: that would mislead.
            continue
        field = ".".join(str(part) for part in fault["loc"])
        lines.append(prefix + _fault_line(field, (overridden or {}).get(field), fault))
    return lines


def apply_environment(data: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Write the `R1_GATEWAY__…` variables into `data`; returns field -> variable name."""
    overridden: dict[str, str] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX):
            continue
        keys = variable[len(ENV_PREFIX) :].lower().split("__")
        _put(data, keys, _parse(environ[variable], variable), variable)
        overridden[".".join(keys)] = variable
    return overridden


def masked(settings: Settings) -> dict[str, Any]:
    """The effective configuration as plain data, passwords in URLs replaced by `***`."""
    data = settings.model_dump(mode="json")
    for name in ("url", "cache_url"):
        if data["store"][name]:
            data["store"][name] = mask_url(data["store"][name])
    return data


def mask_url(url: str) -> str:
    """The URL with its password, if any, replaced by `***`."""
    # To the last @: also where a password was not written as URLs want it.
    hidden = re.sub(r"(://[^:@/]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", hidden)


def read_secret(path: Path, field: str, *, at_least: int = 16) -> str:
    """The secret in `path` without surrounding white space; ConfigError names `field`."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{field}: {path} can't be read; create it with a random secret in it"
        ) from error
    if len(secret) < at_least:
        raise ConfigError(
            f"{field}: {path} holds {len(secret)} characters; put at least {at_least} "
            "random characters in it"
        )
    return secret


def secret_files(settings: Settings) -> list[tuple[str, Path, int]]:
    """The files with secrets that are named: field, path, least number of characters."""
    named: list[tuple[str, Path | None, int]] = [
        ("auth.pepper_file", settings.auth.pepper_file, 16),
        ("admin.key_file", settings.admin.key_file, 16),
        ("store.url_file", settings.store.url_file, 1),
    ]
    for m, model in enumerate(settings.models):
        named.append((f"models.{m}.discovery_key_file", model.discovery_key_file, 1))
        for u, upstream in enumerate(model.upstreams):
            named.append((f"models.{m}.upstreams.{u}.key_file", upstream.key_file, 1))
    for d, source in enumerate(settings.discover):
        named.append((f"discover.{d}.key_file", source.key_file, 1))
    return [(field, path, at_least) for field, path, at_least in named if path is not None]


def store_files(settings: Settings) -> list[tuple[str, Path]]:
    """The files that the stores' URLs name: field and option, path."""
    urls = {"store.url": settings.store.url, "store.cache_url": settings.store.cache_url}
    return [
        (f"{field}: {option}", Path(name))
        for field, url in urls.items()
        for option, name in (parse(url).files() if url else {}).items()
    ]


def remarks(settings: Settings) -> list[str]:
    """What is allowed but hardly meant: a sentence each, that names the field."""
    field, longest_s = settings.longest_answer()
    if settings.drain_s >= longest_s:
        return []
    return [
        f"listen.drain_timeout_s: {settings.drain_s:g} s is less than the longest answer may take "
        f"({field}: {longest_s:g} s), so a stop or a reload would cut such an answer; raise it, "
        "or leave it out"
    ]


def _parse(value: str, variable: str) -> Any:
    if value in ("", "null"):
        return None
    if value[0] in "[{":
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{variable}: is not valid YAML: {_one_line(error)}") from error
    return value


def _put(data: dict[str, Any], keys: list[str], value: Any, variable: str) -> None:
    node: Any = data
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        where = ".".join(keys[: depth + 1])
        if isinstance(node, list):
            if not key.isdigit() or int(key) > len(node):
                raise ConfigError(
                    f"{variable}: {where} is a list of {len(node)}; use a number up to {len(node)}"
                )
            index = int(key)
            if index == len(node):
                node.append(None)
            if last:
                node[index] = value
            else:
                node[index] = node[index] if node[index] is not None else {}
                node = node[index]
        elif isinstance(node, dict):
            if last:
                node[key] = value
            else:
                if node.get(key) is None:
                    node[key] = [] if keys[depth + 1].isdigit() else {}
                node = node[key]
        else:
            raise ConfigError(f"{variable}: {where} has no fields of its own")


def _has_faults_inside(fault: Any, faults: Sequence[Any]) -> bool:
    where = fault["loc"]
    return any(each["loc"][: len(where)] == where and each is not fault for each in faults)


def _fault_line(field: str, variable: str | None, fault: Any) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    kind = fault["type"]
    if kind == "missing":
        message = "is missing; add it"
    elif kind == "extra_forbidden":
        message = "is not a known field; remove it or mend its spelling"
    elif not field:
        return message
    else:
        given = fault.get("input")
        shown = mask_url(str(given)) if isinstance(given, str | int | float | bool) else ""
        message = message[0].lower() + message[1:] + (f" (given: {shown})" if shown else "")
    source = f" (set by {variable})" if variable else ""
    return f"{field}{source}: {message}"


def _with_absolute_files(settings: Settings, base: Path) -> Settings:
    def absolute(path: Path | None) -> Path | None:
        return None if path is None else base / path.expanduser()

    models = tuple(
        model.model_copy(
            update={
                "upstreams": tuple(
                    up.model_copy(update={"key_file": absolute(up.key_file)})
                    for up in model.upstreams
                ),
                "discovery_key_file": absolute(model.discovery_key_file),
            }
        )
        for model in settings.models
    )
    return settings.model_copy(
        update={
            "admin": settings.admin.model_copy(
                update={"key_file": absolute(settings.admin.key_file)}
            ),
            "store": settings.store.model_copy(
                update={"url_file": absolute(settings.store.url_file)}
            ),
            "auth": settings.auth.model_copy(
                update={
                    "pepper_file": absolute(settings.auth.pepper_file),
                    "bootstrap_file": absolute(settings.auth.bootstrap_file),
                }
            ),
            "models": models,
            "discover": tuple(
                each.model_copy(update={"key_file": absolute(each.key_file)})
                for each in settings.discover
            ),
        }
    )


def _with_store_url(settings: Settings) -> Settings:
    """The same with what `store.url_file` holds as `store.url`."""
    if settings.store.url_file is None:
        return settings
    url = read_secret(settings.store.url_file, "store.url_file", at_least=1)
    try:
        parse(url)
    except ValueError as error:
        raise ConfigError(f"store.url_file: {settings.store.url_file} {error}") from error
    store = settings.store.model_copy(update={"url": url})
    return settings.model_copy(update={"store": store})


def _check_files(settings: Settings) -> None:
    for field, path, at_least in secret_files(settings):
        read_secret(path, field, at_least=at_least)
    for field, path in store_files(settings):
        if not os.access(path, os.R_OK):
            raise ConfigError(
                f"{field} names {path}, which can't be read; mount it, and give its path from the "
                "root"
            )


def _check_packages(settings: Settings) -> None:
    if settings.telemetry.otlp_endpoint is None:
        return
    try:
        found = importlib.util.find_spec("opentelemetry.proto.collector")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ConfigError(
            "telemetry.otlp_endpoint: needs the package opentelemetry-proto; install it with "
            "pip install 'r1[otel]', or leave this field out"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
