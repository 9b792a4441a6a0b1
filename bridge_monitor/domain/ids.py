"""Identifiers that sort by time (UUIDv7, RFC 9562 §5.7), made from a clock and randomness passed in."""

from __future__ import annotations


def time_ordered_id(posix_seconds: float, randomness: bytes) -> str:
    """Return a UUIDv7 as text.

    Args:
        posix_seconds: UTC time in seconds since 1970.
        randomness: Ten random bytes.
    """
    milliseconds = int(posix_seconds * 1000) & (1 << 48) - 1
    value = milliseconds << 80 | int.from_bytes(randomness[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
