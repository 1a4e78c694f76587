# Test. Writes tables as the agent does, for readers: proto/shared_table.md.
from __future__ import annotations

import os
import struct
import time
from typing import Dict, List, Tuple

from lars._table import HEADER_BYTES, MAGIC, SLOT_BYTES, module_hash

SLOTS = 16
_FIRST_WORD = (HEADER_BYTES + SLOTS * SLOT_BYTES) // 8


def entry(ip: int, port: int, tag: int = 0) -> int:
    """8 bytes: address, port, tag."""
    return ip | port << 32 | tag << 48


class TableFile:
    """A table of a few modules; everything about it can be changed while it is mapped."""

    def __init__(self, path: str, port: int, blocks: int = 4096) -> None:
        self.path = path
        self._data = bytearray(_FIRST_WORD * 8 + blocks * 8)
        self._free = _FIRST_WORD
        self._slots: Dict[Tuple[int, int], int] = {}
        pack = struct.pack_into
        pack("<QIIQQIIIIIHH", self._data, 0, MAGIC, 1, HEADER_BYTES, len(self._data), 7, SLOTS,
             SLOT_BYTES, _FIRST_WORD, os.getpid(), 0x7F000001, port, 0)
        self.beat()

    def beat(self, age_ms: int = 0) -> None:
        """The heartbeat, so old."""
        struct.pack_into("<Q", self._data, 64, int(time.monotonic() * 1000) - age_ms)

    def retire(self) -> None:
        """Nobody writes it any more."""
        struct.pack_into("<I", self._data, 128, 1)

    def put(self, offset: int, kind: str, *values: int) -> None:
        """Any bytes, for what is wrong."""
        struct.pack_into(kind, self._data, offset, *values)

    def _block(self, words: List[int]) -> int:
        at = self._free
        struct.pack_into(f"<{len(words)}Q", self._data, at * 8, *words)
        self._free += len(words)
        return at

    def set_schedule(self, mod_id: int, cmd_id: int, entries: List[int]) -> None:
        """The entries of a module, in a block of their own; none: ask the agent."""
        at = self._slot(mod_id, cmd_id)
        struct.pack_into("<Q", self._data, at + 8, self._block(entries) | len(entries) << 32)

    def set_keyed(self, mod_id: int, cmd_id: int, words: List[int]) -> None:
        """A keyed table, its head included."""
        at = self._slot(mod_id, cmd_id)
        struct.pack_into("<Q", self._data, at + 16, self._block(words) | 1 << 32)

    def slot_offset(self, mod_id: int, cmd_id: int) -> int:
        """Where the slot of a module is."""
        return self._slot(mod_id, cmd_id)

    def _slot(self, mod_id: int, cmd_id: int) -> int:
        slot = self._slots.get((mod_id, cmd_id))
        if slot is None:
            slot = module_hash(mod_id, cmd_id) % SLOTS
            while slot in self._slots.values():
                slot = (slot + 1) % SLOTS
            self._slots[mod_id, cmd_id] = slot
            at = HEADER_BYTES + slot * SLOT_BYTES
            struct.pack_into("<II", self._data, at, mod_id, cmd_id)
        return HEADER_BYTES + slot * SLOT_BYTES

    def write(self) -> None:
        """A new file at the path."""
        with open(self.path + ".new", "wb") as file:
            file.write(self._data)
        os.rename(self.path + ".new", self.path)

    def rewrite(self) -> None:
        """The same file, in place."""
        with open(self.path, "r+b") as file:
            file.write(self._data)
