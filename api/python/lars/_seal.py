# Shell. Seals of datagrams: proof of the secret, for an agent on another host that wants one.
from __future__ import annotations

import hmac
import os
import struct
import time
from typing import Callable, Optional

#: A seal is the last field of a message, number 31: sender (8 bytes), milliseconds since 1970 (8),
#: number of the datagram (4), and the first 16 bytes of an HMAC-SHA256 of everything before them.
_FIELD_HEAD = b"\xfa\x01\x24"
_SENDER_BYTES = 8
_MAC_BYTES = 16
SEAL_BYTES = len(_FIELD_HEAD) + _SENDER_BYTES + 12 + _MAC_BYTES
_HEAD_BYTES = 8


def _mac(label: bytes, content: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, label + content, "sha256").digest()[:_MAC_BYTES]


class Sealer:
    """Seals the datagrams of one socket, and knows the answers to them."""

    def __init__(self, secret: bytes, sender: bytes, wall_ms: Callable[[], int]) -> None:
        """`sender`: 8 random bytes, which no other sender has."""
        self._secret = secret
        self._sender = sender
        self._wall_ms = wall_ms
        self._number = 0

    def seal(self, datagram: bytes) -> bytes:
        """The message with its seal; to be called for each datagram anew, also for a repeated one."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        length = struct.pack("<i", len(datagram) + SEAL_BYTES - _HEAD_BYTES)
        stamp = self._sender + struct.pack("<QI", self._wall_ms(), self._number)
        signed = datagram[:4] + length + datagram[_HEAD_BYTES:] + _FIELD_HEAD + stamp
        return signed + _mac(b"lars question", signed, self._secret)

    def is_answer(self, datagram: bytes) -> bool:
        """True when it is sealed by one who knows the secret, for a question of this sender."""
        at = len(datagram) - SEAL_BYTES
        if at < _HEAD_BYTES or datagram[at : at + 3] != _FIELD_HEAD:
            return False
        sender = datagram[at + 3 : at + 3 + _SENDER_BYTES]
        signed = datagram[:-_MAC_BYTES]
        mac = _mac(b"lars answer", signed, self._secret)
        return sender == self._sender and hmac.compare_digest(mac, datagram[-_MAC_BYTES:])


def new_sealer(secret: Optional[bytes]) -> Optional[Sealer]:
    """For a socket of its own; None without a secret."""
    if secret is None:
        return None
    return Sealer(secret, os.urandom(_SENDER_BYTES), lambda: int(time.time() * 1000))
