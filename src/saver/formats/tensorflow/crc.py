"""CRC-32C (Castagnoli), as TensorFlow stores it: of large arrays, in many lanes at once.

The register of a CRC is linear over bits, so pieces of equal length are summed side by side, and the sum of
two pieces that follow each other is the first one's, moved over as many zero bytes as the second has, xor the
second one's. The polynomial is that of RFC 3720, appendix B.4; the mask that of LevelDB's `util/crc32c.h`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_SMALL = 512
"""Bytes that are summed one after another."""

_LANES = 1 << 15

Words = NDArray[np.uint32]


def crc32c(data: NDArray[np.uint8] | bytes, before: int = 0) -> int:
    """Of the bytes, after others whose sum is `before`."""
    rest = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    register = ~before & 0xFFFFFFFF
    while len(rest) > _SMALL:
        lanes = 1 << min(_LANES.bit_length() - 1, (len(rest) // 64).bit_length() - 1)
        length = len(rest) // lanes // 2 * 2
        register = _lanes(rest[: lanes * length].reshape(lanes, length), register)
        rest = rest[lanes * length :]
    table = _bytes()
    for byte in rest.tolist():
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return ~register & 0xFFFFFFFF


def unmasked(masked: int) -> int:
    """The sum that TensorFlow stored as `masked`."""
    turned = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (turned >> 17 | turned << 15) & 0xFFFFFFFF


def masked(found: int) -> int:
    """How TensorFlow stores a sum."""
    return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _lanes(rows: NDArray[np.uint8], register: int) -> int:
    """The register after all rows, one after another; there are a power of two of them, of even length."""
    table, columns = _pairs(), np.ascontiguousarray(rows.view("<u2").T)
    registers = np.zeros(len(rows), np.uint32)
    registers[0] = register
    for column in columns:
        registers = table[(registers ^ column) & 0xFFFF] ^ registers >> 16
    length = rows.shape[1]
    while len(registers) > 1:
        registers = _moved(registers[::2], length) ^ registers[1::2]
        length *= 2
    return int(registers[0])


def _moved(registers: Words, zeros: int) -> Words:
    """Registers after `zeros` zero bytes."""
    found = np.zeros_like(registers)
    for number, image in enumerate(_zeros(zeros)):
        found ^= (registers >> np.uint32(number) & np.uint32(1)) * image
    return found


@cache
def _zeros(count: int) -> Words:
    """What each bit of a register becomes after `count` zero bytes."""
    if count == 1:
        table = np.array(_bytes(), np.uint32)
        bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
        found: Words = table[bits & 0xFF] ^ bits >> 8
        return found
    half = _moved(_zeros(count // 2), count // 2)
    return _moved(half, 1) if count % 2 else half


@cache
def _bytes() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


@cache
def _pairs() -> Words:
    """What a register of two bytes becomes after two zero bytes."""
    one = np.array(_bytes(), np.uint32)
    first = one[np.arange(1 << 16) & 0xFF] ^ np.arange(1 << 16, dtype=np.uint32) >> 8
    found: Words = one[first & 0xFF] ^ first >> 8
    return found
