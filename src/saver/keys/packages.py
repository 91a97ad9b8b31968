"""The packages that keys and signatures need, imported when they are first used."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

from saver.errors import IncompatibleError


def _missing(package: str) -> IncompatibleError:
    return IncompatibleError(
        f"keys need the package {package}, which is not installed; pip install 'saver-ml[encryption]'"
    )


@cache
def primitives() -> Any:
    """What is used of `cryptography`."""
    try:
        from cryptography import exceptions
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError:
        raise _missing("cryptography") from None
    return SimpleNamespace(
        exceptions=exceptions, ChaCha20Poly1305=ChaCha20Poly1305, SHA256=SHA256, HKDF=HKDF, Scrypt=Scrypt
    )


@cache
def signing() -> Any:
    """What is used of `cryptography` by keys that sign."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
    except ImportError:
        raise _missing("cryptography") from None
    return SimpleNamespace(serialization=serialization, ec=ec, ed25519=ed25519, utils=utils)


@cache
def recipients() -> Any:
    """The package `pyrage`."""
    try:
        import pyrage
    except ImportError:
        raise _missing("pyrage") from None
    return pyrage
