"""The KV cache of a simulated engine: blocks, shared by prefix, evicted when room is needed."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Blocks:
    """`count` blocks of `size` tokens each.

    A block is in use, or idle (its tokens are known, and may be shared again), or unused. Idle
    blocks are taken back oldest first.
    """

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self.size = size
        self._users = [0] * count
        self._key_of: dict[int, int] = {}
        self._block_of: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._unused = list(range(count))

    @property
    def available(self) -> int:
        """Blocks that can be taken, idle ones included."""
        return len(self._unused) + len(self._idle)

    @property
    def used_share(self) -> float:
        """Blocks in use over all blocks, 0 to 1."""
        return 1 - self.available / self.count

    def take(self, count: int) -> list[int] | None:
        """`count` blocks, or None (and nothing changed) where there are not as many."""
        if count > self.available:
            return None
        taken = []
        for _ in range(count):
            if self._unused:
                block = self._unused.pop()
            else:
                block, _ = self._idle.popitem(last=False)
                del self._block_of[self._key_of.pop(block)]
            self._users[block] = 1
            taken.append(block)
        return taken

    def share(self, keys: Iterable[int]) -> list[int]:
        """The blocks of the longest known prefix of `keys`, now used once more."""
        shared = []
        for key in keys:
            block = self._block_of.get(key)
            if block is None:
                break
            self._users[block] += 1
            self._idle.pop(block, None)
            shared.append(block)
        return shared

    def name(self, block: int, key: int) -> None:
        """Make a full block known by its prefix's key; the first block of a key keeps it."""
        if key not in self._block_of and block not in self._key_of:
            self._block_of[key] = block
            self._key_of[block] = key

    def release(self, blocks: Sequence[int]) -> None:
        """Give blocks back; the end of a prefix is evicted before its beginning."""
        for block in reversed(blocks):
            self._users[block] -= 1
            if self._users[block]:
                continue
            if block in self._key_of:
                self._idle[block] = None
            else:
                self._unused.append(block)
