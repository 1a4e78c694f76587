# Core. Picks from the bytes of the table that the agent keeps in shared memory: proto/shared_table.md.
from __future__ import annotations

import sys
from typing import Any, Callable, Iterator, List, Optional

MAGIC = int.from_bytes(b"LARSTBL1", "little")
LAYOUT_VERSION = 1
HEADER_BYTES = 4096
SLOT_BYTES = 32
#: A heartbeat may be so much older, or newer, than now, in milliseconds.
OLD_MS = 2000
AHEAD_MS = 1000
#: Entries of a keyed table that a pick looks at, at most.
KEYED_LOOKS_MAX = 1024
#: Entries of an old table that are looked at for one that is well.
OLD_LOOKS_MAX = 64
#: Entries of a schedule that are kept decoded, at most; of a longer one each is read when its turn comes.
KEPT_ENTRIES_MAX = 1024

# Bits of an entry; those below are the address and, from bit 32, the port.
PROBE = 1 << 48
OUT = 1 << 49
REFUSED = 1 << 50
NODE_BITS = (1 << 48) - 1

# Words of the header, and of a slot.
_FILE_BYTES, _GENERATION, _SLOTS, _PLACES, _ADDRESS, _TAKES, _HEARTBEAT = 2, 3, 4, 5, 6, 7, 8
_RETIRED, _CHANGES = 16, 24
_SLOT_WORDS = SLOT_BYTES // 8
_TAKES_RUNS = 1
_KEYED_BY_AGENT = 1
_RING, _MAGLEV = 1, 2

_MASK = 0xFFFFFFFF


def module_hash(mod_id: int, cmd_id: int) -> int:
    """Where the look for a module begins."""
    h = (mod_id * 0x9E3779B1 & _MASK) ^ (cmd_id * 0x85EBCA6B & _MASK)
    h ^= h >> 15
    h = h * 0x2C1B3C6D & _MASK
    return h ^ h >> 13


def _murmur3(data: bytes) -> int:
    """MurmurHash3 x86 32 with seed 0."""
    h = 0
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * 0xCC9E2D51 & _MASK
        h ^= (k << 15 & _MASK | k >> 17) * 0x1B873593 & _MASK
        h = (h << 13 & _MASK | h >> 19) * 5 + 0xE6546B64 & _MASK
    if whole < len(data):
        k = int.from_bytes(data[whole:], "little") * 0xCC9E2D51 & _MASK
        h ^= (k << 15 & _MASK | k >> 17) * 0x1B873593 & _MASK
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & _MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & _MASK
    return h ^ h >> 16


def table_key(key: bytes) -> int:
    """What keyed tables are looked up by."""
    return _murmur3(key) >> 1


def maglev_skip(key: int) -> int:
    """What the step through a Maglev table comes from."""
    return _murmur3(key.to_bytes(4, "little")) >> 1


class Image:
    """The bytes of a table, word by word; one element of the view is read as one word."""

    __slots__ = ("words", "first_word", "generation", "ip", "port", "takes_runs", "_slots")

    def __init__(self, data: memoryview) -> None:
        """:raises ValueError: when it is no table of this layout."""
        if sys.byteorder != "little" or len(data) < HEADER_BYTES:
            raise ValueError("no table")
        words = data.cast("Q")
        if words[0] != MAGIC or words[1] != LAYOUT_VERSION | HEADER_BYTES << 32:
            raise ValueError("no table of this layout")
        slots = words[_SLOTS] & _MASK
        first_word = words[_PLACES] & _MASK
        directory_end = HEADER_BYTES + slots * SLOT_BYTES
        good = (
            words[_FILE_BYTES] == len(data)
            and words[_SLOTS] >> 32 == SLOT_BYTES
            and slots > 0
            and slots & slots - 1 == 0
            and directory_end <= first_word * 8 <= len(data)
        )
        if not good:
            raise ValueError("a table that does not fit its file")
        self.words = words
        #: Blocks lie from this word on.
        self.first_word = first_word
        self.generation = words[_GENERATION]
        self.ip = words[_ADDRESS] & _MASK
        self.port = words[_ADDRESS] >> 32 & 0xFFFF
        #: The agent takes records that stand for several outcomes.
        self.takes_runs = words[_TAKES] & _TAKES_RUNS != 0
        self._slots = slots

    def is_usable(self, now_ms: float) -> bool:
        """By the clock that only goes forward."""
        words = self.words
        beat_ms = words[_HEARTBEAT]
        is_fresh = now_ms - OLD_MS <= beat_ms <= now_ms + AHEAD_MS
        return words[0] == MAGIC and words[_RETIRED] & _MASK == 0 and is_fresh

    def changes(self) -> int:
        """Another number after each change of any module; 0: the writer does not say."""
        return self.words[_CHANGES] & _MASK

    def find(self, mod_id: int, cmd_id: int) -> int:
        """The word of a module's schedule, which stays; 0 when it is not here."""
        words = self.words
        wanted = mod_id | cmd_id << 32
        slot = module_hash(mod_id, cmd_id)
        for _ in range(self._slots):
            slot &= self._slots - 1
            at = HEADER_BYTES // 8 + slot * _SLOT_WORDS
            if words[at + 1] == 0:
                return 0
            if words[at] == wanted:
                return at + 1
            slot += 1
        return 0

    def keyed(self, schedule_word: int, key: bytes) -> Optional[int]:
        """The entry for a key; 0: any will do; None: ask the agent.

        :raises ValueError: when a block does not lie in the file.
        """
        words = self.words
        try:
            key.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if words[schedule_word + 2] & _KEYED_BY_AGENT:
            return None
        block = words[schedule_word + 1] & _MASK
        if block == 0:
            return 0
        if not self.first_word <= block < len(words):
            raise ValueError("a keyed table beyond the file")
        kind, count = words[block] & _MASK, words[block] >> 32
        if kind not in (_RING, _MAGLEV) or count == 0:
            return None
        entries = block + 1 + ((count + 1) // 2 if kind == _RING else 0)
        if entries + count > len(words):
            raise ValueError("a keyed table beyond the file")
        number = table_key(key)
        if kind == _RING:
            index, step = self._ring_index(block + 1, count, number), 1
        else:
            index = number % count
            step = maglev_skip(number) % (count - 1) + 1 if count > 1 else 0
        for _ in range(min(count, KEYED_LOOKS_MAX)):
            entry = words[entries + index]
            if not entry & OUT:
                return entry
            index = (index + step) % count
        return 0

    def _ring_index(self, first: int, count: int, key: int) -> int:
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if self.words[first + middle // 2] >> 32 * (middle & 1) & _MASK < key:
                low = middle + 1
            else:
                high = middle
        return 0 if low == count else low


class Place:
    """Where a module is in one table, and where its caller is in its schedule.

    It goes with its own table, so that no thread looks for it in another one that came meanwhile.
    """

    __slots__ = (
        *("image", "words", "at", "schedule", "first", "count", "cursor", "told_s"),
        *("version", "entries", "turn"),
    )

    def __init__(self, image: Image, at: int, cursor: int) -> None:
        self.image = image
        self.words = image.words
        #: The word of the schedule, what it was when it was looked at last, and what that means.
        self.at = at
        self.schedule = 0
        self.first = 0
        self.count = 0
        self.cursor = cursor
        #: Until then the agent knows that the module is in use.
        self.told_s = 0.0
        #: What was read last: with which flags and version, and what that gives in turn.
        self.version = 0
        self.entries: List[int] = []
        self.turn: Optional[Iterator[Any]] = None

    def is_same(self) -> bool:
        """True while the module is as it was when `read_entries` read it, as far as the writer says."""
        version = self.words[self.at + 2]
        return version == self.version and version >> 32 != 0

    def read_entries(self) -> bool:
        """Reads the schedule; True when it is another one than before. None is empty.

        :raises ValueError: when it does not lie in the file.
        """
        # Before what it stands for: a change meanwhile then shows at the next look.
        self.version = self.words[self.at + 2]
        schedule = self.words[self.at]
        entries: List[int] = []
        if self.take_schedule(schedule) and self.count <= KEPT_ENTRIES_MAX:
            # Each is read as one word.
            entries = self.words[self.first : self.first + self.count].tolist()
        if entries == self.entries:
            return False
        self.entries = entries
        return True

    def take_schedule(self, schedule: int) -> bool:
        """Notes where the schedule is now; False when there is none, and the agent is to be asked.

        :raises ValueError: when it does not lie in the file.
        """
        self.count = schedule >> 32
        self.first = schedule & _MASK
        if self.count == 0:
            self.schedule = 0
            return False
        if self.first < self.image.first_word or self.first + self.count > len(self.words):
            raise ValueError("a schedule beyond the file")
        self.schedule = schedule
        return True

    def next_entry(self) -> int:
        """The next entry of the schedule; 0: ask the agent.

        :raises ValueError: when the schedule does not lie in the file.
        """
        schedule = self.words[self.at]
        if schedule != self.schedule and not self.take_schedule(schedule):
            return 0
        index = self.cursor
        if index >= self.count:
            index %= self.count
        self.cursor = index + 1
        return self.words[self.first + index]

    def old_entry(self, rests: Callable[[int], bool]) -> int:
        """An entry of a table that nobody keeps any more, the best in a round; 0 for none.

        :raises ValueError: when the schedule does not lie in the file.
        """
        best = best_rank = 0
        for _ in range(min(self.words[self.at] >> 32, OLD_LOOKS_MAX)):
            entry = self.next_entry()
            if entry == 0 or entry & REFUSED:
                continue
            # A node that failed a moment ago is worse than a probe, which failed some time ago.
            rank = 1 if rests(entry) else 2 if entry & PROBE else 3
            if rank > best_rank:
                best, best_rank = entry, rank
            if rank == 3:
                break
        return best
