"""LoRA adapters: what a folder must hold to be one, and the engine arguments that serve them."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.catalog.architecture import DeepseekV3
from serving.catalog.model import Model
from serving.engine.derivation import Argument
from serving.errors import DoesNotFit, InvalidAdapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTERS = "r1_adapters"
"""Where a replica's configuration has the adapters that its deployment declares."""
RANKS = (16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM makes room for; an adapter of a smaller one takes the next larger room."""
TOGETHER = 8
"""Adapters in one batch; requests for more wait. Each takes a place in the GPUs' memory."""

_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A folder that was looked at."""

    name: str
    folder: Path
    base: str
    """What it says it was trained on: a model's id, a hub id or a folder."""
    rank: int
    digest: str
    """SHA-256 of its configuration and weights, in hexadecimal."""


def read_adapter(name: str, folder: str | Path) -> Adapter:
    """Look at an adapter's folder, as `peft` writes it.

    Raises:
        InvalidAdapter: the name can't be a model's id, or the folder holds no LoRA adapter.
    """
    check_name(name)
    place = Path(folder).expanduser()
    said = _config(name, place)
    kind, rank = said.get("peft_type"), said.get("r")
    if kind != "LORA":
        raise InvalidAdapter(f"{name}: {place / CONFIG}: peft_type is {kind!r}; only LORA is known")
    if not isinstance(rank, int) or not 1 <= rank <= RANKS[-1]:
        raise InvalidAdapter(f"{name}: {place / CONFIG}: r is {rank!r}; give 1 to {RANKS[-1]}")
    digest = hashlib.sha256()
    for part in (CONFIG, WEIGHTS):
        try:
            with (place / part).open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise InvalidAdapter(
                f"{name}: {place / part} can't be read ({error.strerror}); give the folder that "
                f"holds {CONFIG} and {WEIGHTS}"
            ) from error
    base = str(said.get("base_model_name_or_path") or "")
    return Adapter(name, place.resolve(), base, rank, digest.hexdigest())


def check_name(name: str) -> None:
    """Refuse a name that can't be a model's id.

    Raises:
        InvalidAdapter: with the letters that it may have.
    """
    if not _NAME.fullmatch(name):
        raise InvalidAdapter(
            f"{name!r} can't be an adapter's name: it is a model id, so small letters and digits "
            "with single dots and dashes between"
        )


def adapter_ranks(adapters: Mapping[str, str]) -> list[int]:
    """The ranks of the adapters, by name, whose folders this machine has.

    A deployment may be put together on a node without the volume that its replicas have.

    Raises:
        InvalidAdapter: a name can't be one, or a folder that is here holds no adapter.
    """
    for name in adapters:
        check_name(name)
    here = {name: folder for name, folder in adapters.items() if Path(folder).exists()}
    return [read_adapter(name, folder).rank for name, folder in here.items()]


def takes_adapters(model: Model) -> bool:
    """Whether adapters of a model can be served: those of the distilled ones."""
    return not isinstance(model.architecture, DeepseekV3)


def adapter_arguments(model: Model, ranks: Iterable[int], most: int) -> list[Argument]:
    """The engine arguments that serve up to `most` adapters beside their base; none for 0.

    Args:
        model: the base.
        ranks: of the adapters that are known already.
        most: adapters that are loaded at once.

    Raises:
        DoesNotFit: the model's adapters can't be served.
    """
    if not most:
        return []
    if not takes_adapters(model):
        raise DoesNotFit(
            f"{model.id} can't have adapters: they are for the distilled models; "
            "leave adapters and max_adapters out"
        )
    rank = min(each for each in RANKS if each >= max(ranks, default=1))
    return [
        Argument("enable_lora", True, "adapters are models of their own"),
        Argument("max_loras", min(most, TOGETHER), "adapters in one batch"),
        Argument("max_cpu_loras", most, "adapters that are loaded at once"),
        Argument("max_lora_rank", rank, "the least room that holds them"),
    ]


def wanted(declared: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Folders by name that a replica is to have loaded.

    Args:
        declared: by the deployment.
        said: at run time since; an empty folder takes an adapter out.
    """
    return {name: folder for name, folder in {**declared, **said}.items() if folder}


def _config(name: str, folder: Path) -> dict[str, Any]:
    try:
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise InvalidAdapter(
            f"{name}: {folder / CONFIG} can't be read ({why}); give the folder that peft saved "
            "the adapter in"
        ) from error
    if not isinstance(said, dict):
        raise InvalidAdapter(f"{name}: {folder / CONFIG} is no JSON object; save the adapter anew")
    return said
