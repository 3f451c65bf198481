"""What GPUs are called: by us, by drivers and in node labels. Pure."""

import re

_WORDS = re.compile(r"[^A-Za-z0-9]+")
_DIGIT = re.compile(r"[0-9]")
_SIZE = re.compile(r"[0-9]+GI?B").fullmatch


def words(name: str) -> list[str]:
    """The words of a product's name, in capitals: NVIDIA-H100-80GB-HBM3 has four."""
    return [word.upper() for word in _WORDS.split(name) if word]


def chip_of(name: str) -> str | None:
    """The chip in a name: its first word with a digit that is no size of memory, or None.

    `NVIDIA H200 SXM` is an H200, `NVIDIA GeForce RTX 4090` a 4090, `AMD Instinct MI300X` an MI300X.
    """
    return next((word for word in words(name) if _DIGIT.search(word) and not _SIZE(word)), None)


def is_chip(product: str, chip: str) -> bool:
    """Tell whether a product's name has this chip; an H20 is no H200."""
    return chip in words(product)
