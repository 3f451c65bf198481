"""Users that have a key of their own."""

from __future__ import annotations

from pathlib import Path

from loadtests.users.kinds import Mix


def key_for(text: str) -> tuple[str, str]:
    """The users and their key, as `USERS=FILE` says them.

    Raises:
        ValueError: there are no such users, or no file is named.
        OSError: the file can't be read.
    """
    kind, mark, path = text.partition("=")
    Mix.parse(kind)
    if not mark:
        raise ValueError(f"--key-for {text}: give USERS=FILE, as in abusive=abuser.key")
    return kind, Path(path).read_text("utf-8").strip()
