"""Event files: TFRecord frames around protocol buffers, written by hand, so that nothing need be installed.

The format is TensorFlow's: ``tensorflow/core/lib/io/record_writer.h``, ``core/util/event.proto`` and
``core/framework/summary.proto``. A frame is the length (8 bytes, little-endian), its masked CRC-32C,
the data, and theirs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

POLYNOMIAL = 0x82F63B78  # Castagnoli's, reflected
FIRST = "brain.Event:2"


def _table() -> list[int]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return rows


TABLE = _table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def framed(data: bytes) -> bytes:
    """Data as a record."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    value = crc32c(data)
    return struct.pack("<I", (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def opening(time: float) -> bytes:
    """The event a file begins with."""
    return _double(1, time) + _bytes(3, FIRST.encode())


def start(time: float, step: int) -> bytes:
    """The event that says: what stands in other files from this step on was made again."""
    return _double(1, time) + _number(2, step) + _bytes(7, _number(1, 1))


def scalars(time: float, step: int, values: Mapping[str, float]) -> bytes:
    """An event with numbers by name."""
    parts = [
        _bytes(1, _bytes(1, name.encode()) + _single(2, value)) for name, value in values.items()
    ]
    return _double(1, time) + _number(2, step) + _bytes(5, b"".join(parts))


def text(time: float, name: str, content: str) -> bytes:
    """An event with a text in Markdown."""
    plugin = _bytes(1, _bytes(1, b"text"))
    tensor = _number(1, 7) + _bytes(2, b"") + _bytes(8, content.encode())  # one string, no shape
    value = _bytes(1, name.encode()) + _bytes(8, tensor) + _bytes(9, plugin + _number(4, 2))
    return _double(1, time) + _bytes(5, _bytes(1, value))


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(value: int) -> bytes:
    output = bytearray()
    while value > 0x7F:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*output, value])


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _key(field, 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, 2) + _varint(len(value)) + value


def _single(field: int, value: float) -> bytes:
    try:
        return _key(field, 5) + struct.pack("<f", value)
    except OverflowError:
        return _key(field, 5) + struct.pack("<f", float("inf") if value > 0 else float("-inf"))
