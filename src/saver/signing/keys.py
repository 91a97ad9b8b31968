"""Keys that sign, and those that verify: Ed25519 and P-256, from PEM.

A public key is written as `ed25519:<64 hex digits>` or `p256:<66 hex digits>` (the point, compressed). A
signature is 64 bytes, written as 128 hex digits: of P-256, r and then s, both big-endian.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

from saver.errors import CannotReadError, NotFoundError, quoted
from saver.keys import packages
from saver.signing.curves import is_point

KeySource: TypeAlias = "str | os.PathLike[str] | bytes | SigningKey"
"""A path, `env:NAME`, the PEM itself, or a key that was read already."""

MAKE = "`saver key new NAME --type ed25519` makes one"

LARGEST = 64 << 10
"""Bytes of a file with a key; more are not read."""

SIGNATURE = re.compile(r"[0-9a-f]{128}")
_TEXT = re.compile(r"ed25519:[0-9a-f]{64}|p256:0[23][0-9a-f]{64}")
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256. Of the two values of s that verify, only the smaller is a signature."""

_SMALL = frozenset(
    f"{digits}{rest}{last}"
    for digits, rest, lasts in (
        ("00", "00" * 30, ("00", "80")), ("01", "00" * 30, ("00", "80")), ("ec", "ff" * 30, ("7f", "ff")),
        ("ed", "ff" * 30, ("7f", "ff")), ("ee", "ff" * 30, ("7f", "ff")),
        ("26", "e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc", ("05", "85")),
        ("c7", "176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03", ("7a", "fa")),
    )
    for last in lasts
)  # fmt: skip
"""The Ed25519 keys of small order, in every encoding: anybody can make signatures that they verify."""

SHOWN = 12
"""So many digits of a key are shown."""


class BadKeyError(ValueError):
    """What was passed as a key is not one that Saver can sign or verify with."""


class SigningKey:
    """A private key, which signs. `public` is its public key as text; neither `repr` nor an error shows the
    private one."""

    def __init__(self, public: str, sign: Callable[[bytes], bytes]) -> None:
        self.public = public
        self._sign = sign

    def __repr__(self) -> str:
        return f"<key {brief(self.public)}>"

    def __reduce__(self) -> Any:
        raise TypeError("a private key is not copied elsewhere; name its file there")

    def sign(self, message: bytes) -> str:
        """The signature of a message, as text."""
        return self._sign(message).hex()


def brief(key: str) -> str:
    """A public key, short, for people."""
    kind, _, digits = key.partition(":")
    return f"{kind[:20]}:{digits[:SHOWN]}" + "…" * (len(digits) > SHOWN)


def is_key(text: str) -> bool:
    """Whether this is the text of a public key of a type that this Saver knows."""
    return _TEXT.fullmatch(text) is not None


@lru_cache(256)
def flaw(key: str) -> str:
    """Why a public key of a known type vouches for nobody; "" if it can."""
    kind, _, digits = key.partition(":")
    if kind == "ed25519" and digits in _SMALL:
        return "anybody can sign with that key, which is of small order"
    return "" if is_point(kind, bytes.fromhex(digits)) else "the key is not a point of its curve"


def signing_key(name: str, source: KeySource) -> SigningKey:
    """The private key that the argument `name` is: PKCS8 in PEM. Raises ValueError or TypeError if it
    is not one, NotFoundError, and IncompatibleError if `cryptography` is not installed."""
    if isinstance(source, SigningKey):
        return source
    data, where = _pem(name, source)
    found = _private(name, unlocked(data, where), where)
    ed25519, ec, utils = _asymmetric()
    if isinstance(found, ed25519.Ed25519PrivateKey):
        return SigningKey(_public_text(name, found.public_key(), where), found.sign)
    from cryptography.hazmat.primitives.hashes import SHA256

    text = _public_text(name, found.public_key(), where)

    def sign(message: bytes) -> bytes:
        r, s = utils.decode_dss_signature(found.sign(message, ec.ECDSA(SHA256())))
        return int(r).to_bytes(32, "big") + int(min(s, _ORDER - s)).to_bytes(32, "big")

    return SigningKey(text, sign)


def optional_key(name: str, source: KeySource | None) -> SigningKey | None:
    """The private key that an argument is; None if it is not passed."""
    return None if source is None else signing_key(name, source)


def public_key(name: str, source: KeySource) -> str:
    """The public key that the argument `name` is, as text: from SubjectPublicKeyInfo in PEM, or the text."""
    if isinstance(source, SigningKey):
        return source.public
    if isinstance(source, str) and is_key(source):
        return _sound(name, source, source)
    data, where = _pem(name, source)
    serialization = key_formats()
    try:
        return _sound(name, _public_text(name, serialization.load_pem_public_key(data), where), where)
    except ValueError as error:
        if b"PRIVATE KEY" in data:
            raise BadKeyError(f"{name}: {where} is a private key; pass the public one (X.pub)") from None
        if isinstance(error, BadKeyError):
            raise
        raise BadKeyError(f"{name}: {where} is not a public key in PEM; pass the file X.pub") from None


def _sound(name: str, key: str, where: str) -> str:
    """A public key. Raises BadKeyError if it vouches for nobody."""
    if reason := flaw(key):
        raise BadKeyError(f"{name}: {where}: {reason}; pass another one: {MAKE}")
    return key


def public_keys(name: str, sources: KeySource | Iterable[KeySource]) -> tuple[str, ...]:
    """Several public keys; one alone is one of them."""
    if isinstance(sources, (str, bytes, os.PathLike, SigningKey)):
        return (public_key(name, sources),)
    if not isinstance(sources, Iterable):
        raise TypeError(f'{name}: {quoted(sources)} is not a list of keys; pass ["alice.pub"]')
    return tuple(dict.fromkeys(public_key(name, each) for each in sources))


def failure(key: str, signature: str, message: bytes) -> str:
    """Why this is not the key's signature of the message; "" if it is. Both texts may be anything. Raises
    IncompatibleError if `cryptography` is not installed."""
    if not is_key(key):
        return f"the key is of a type that this Saver does not know ({quoted(key, 20)})"
    if not SIGNATURE.fullmatch(signature):
        return "the signature is malformed"
    if reason := flaw(key):
        return reason
    _asymmetric()  # without the library nothing is known: that must not count as a signature that fails
    return "" if _verifier(key)(bytes.fromhex(signature), message) else "the signature does not verify"


def _pem(name: str, source: Any) -> tuple[bytes, str]:
    """The bytes of a key, and what messages call it."""
    if isinstance(source, bytes):
        return source, "the bytes"
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"{name}: {quoted(source)} is not a key; pass its file, env:NAME, or PEM as bytes")
    path = os.fsdecode(source)
    if path.startswith("env:"):
        found = os.environ.get(path[4:])
        if not found:
            raise NotFoundError(
                f"{name}: the environment variable {path[4:][:100]} is not set; put the PEM there"
            )
        return found.encode(), f"${path[4:][:100]}"
    if not path or "\0" in path:
        raise BadKeyError(f"{name}: {quoted(path)} cannot be a path")
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise NotFoundError(f"{name}: there is no file {path[:200]}; {MAKE}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it cannot be a path"
        raise CannotReadError(f"{name}: {path[:200]}: {reason}; name a file that can be read") from error
    if len(data) > LARGEST:
        raise BadKeyError(f"{name}: {path[:200]} is too large for a key")
    return data, path[:200]


def key_formats() -> Any:
    """The module of `cryptography` that reads and writes keys. Raises IncompatibleError without it."""
    return packages.signing().serialization


def _asymmetric() -> Any:
    found = packages.signing()
    return found.ed25519, found.ec, found.utils


def unlocked(data: bytes, where: str) -> bytes:
    """What is in a key file that a passphrase protects, as `saver key new --passphrase` writes it: asks for
    the passphrase on the terminal. Other bytes as they are."""
    from saver.keys.files import is_protected

    if not is_protected(data):
        return data
    from saver.keys import age
    from saver.keys.asking import ask
    from saver.keys.secret import Passphrase

    return age.unwrap(data, (), [Passphrase(ask(f"Passphrase of {where}: "))], where)


def _private(name: str, data: bytes, where: str) -> Any:
    serialization = key_formats()
    ed25519, *_ = _asymmetric()
    try:
        found = serialization.load_pem_private_key(data, None)
    except TypeError:
        raise BadKeyError(f"{name}: {where} is locked by a passphrase; sign with a key that is not") from None
    except (
        Exception
    ) as error:  # of a library, for bytes that may be anything; it may quote them: not passed on
        what = "a public key" if b"PUBLIC KEY" in data else "not a private key in PEM (PKCS8)"
        kind = "unsupported" if type(error).__name__ == "UnsupportedAlgorithm" else what
        raise BadKeyError(f"{name}: {where} is {kind}; {MAKE}") from None
    curve = getattr(getattr(found, "curve", None), "name", "")
    if not isinstance(found, ed25519.Ed25519PrivateKey) and curve != "secp256r1":
        raise BadKeyError(f"{name}: {where} is neither an Ed25519 nor a P-256 key; {MAKE}")
    return found


def _public_text(name: str, found: Any, where: str) -> str:
    serialization = key_formats()
    ed25519, ec, _ = _asymmetric()
    raw, kinds = serialization.Encoding.Raw, serialization.PublicFormat
    if isinstance(found, ed25519.Ed25519PublicKey):
        return f"ed25519:{found.public_bytes(raw, kinds.Raw).hex()}"
    if isinstance(found, ec.EllipticCurvePublicKey) and found.curve.name == "secp256r1":
        return f"p256:{found.public_bytes(serialization.Encoding.X962, kinds.CompressedPoint).hex()}"
    raise BadKeyError(f"{name}: {where} is neither an Ed25519 nor a P-256 key; {MAKE}")


@lru_cache(256)
def _verifier(key: str) -> Callable[[bytes, bytes], bool]:
    """Verifies signatures of a key without a flaw."""
    ed25519, ec, utils = _asymmetric()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.hashes import SHA256

    kind, _, digits = key.partition(":")
    raw = bytes.fromhex(digits)
    if kind == "ed25519":
        found = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    else:
        found = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)

    def verify(signature: bytes, message: bytes) -> bool:
        try:
            if kind == "ed25519":
                found.verify(signature, message)
                return True
            r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            if not 0 < s <= _ORDER // 2 or not 0 < r < _ORDER:
                return False
            found.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    return verify
