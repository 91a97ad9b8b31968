"""Which encodings are points of the curves of the keys that sign: the same everywhere, without a library."""

from __future__ import annotations

_P25519 = 2**255 - 19
_D = -121665 * pow(121666, -1, _P25519) % _P25519
_P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def is_point(kind: str, raw: bytes) -> bool:
    """Whether the 32 bytes of an Ed25519 key (RFC 8032, 5.1.3), or the 33 of one of P-256 (SEC 1, 2.3.4,
    compressed), are a point of its curve."""
    if kind == "ed25519":
        y = int.from_bytes(raw, "little") & (1 << 255) - 1
        square = (y * y - 1) * (_D * y * y + 1)  # x² times a square
        return y < _P25519 and _is_square(square, _P25519)
    x = int.from_bytes(raw[1:], "big")
    return x < _P256 and _is_square(x**3 - 3 * x + _B, _P256)


def _is_square(number: int, prime: int) -> bool:
    """By Euler's criterion."""
    return pow(number % prime, (prime - 1) // 2, prime) in (0, 1)
