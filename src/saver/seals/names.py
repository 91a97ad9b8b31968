"""Names of sealed objects: a hash that is one is encrypted, so that nobody can tell whether it is that of
bytes that they know.

AES-SIV (RFC 5297) always makes the same name of the same hash, and recognizes names that it did not make.
"""

from __future__ import annotations

import re
from typing import Any

from blake3 import blake3

FOLDERS = ("manifests/", "state/pages/", "trees/")
"""Where objects are named by their hashes, in the order of keys."""

_PLAIN = re.compile(r"((?:manifests|state/pages|trees)/)([0-9a-f]{2})/([0-9a-f]{64})\.json")
_SEALED = re.compile(r"((?:manifests|state/pages|trees)/)([0-9a-f]{2})/([0-9a-f]{96})\.json")


def is_sealed_name(key: str) -> bool:
    """Whether an object that is stored under this key may have an encrypted name."""
    found = _SEALED.fullmatch(key)
    return found is not None and found[2] == found[3][:2]


class SealedNames:
    """Encrypts the names of objects with a key of 32 bytes, which is never used for anything else."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        self._cipher: Any = AESSIV(key)
        self.key = blake3(key, derive_key_context="saver 1 2026-11 hashes in caches").digest()
        """For hashes that are kept on this machine."""
        self.notes = blake3(key, derive_key_context="saver 1 2026-11 what ranks tell each other").digest()
        """For what ranks tell each other of the store."""

    def sealed(self, key: str) -> str:
        """The key under which an object is stored."""
        found = _PLAIN.fullmatch(key)
        if found is None:
            return key
        folder, _, digest = found.groups()
        name = self._cipher.encrypt(bytes.fromhex(digest), [folder.encode()]).hex()
        return f"{folder}{name[:2]}/{name}.json"

    def opened(self, key: str) -> str | None:
        """The key of the object that is stored under this one; None for the name of an object that is not
        sealed. Other names, which are not those of objects, stay as they are."""
        from cryptography.exceptions import InvalidTag

        found = _SEALED.fullmatch(key)
        if found is None or found[2] != found[3][:2]:
            return key if _PLAIN.fullmatch(key) is None else None
        try:
            digest = self._cipher.decrypt(bytes.fromhex(found[3]), [found[1].encode()]).hex()
        except InvalidTag:
            return None
        return f"{found[1]}{digest[:2]}/{digest}.json"

    def masked(self, text: str) -> str:
        """A text as it is kept on this machine."""
        return str(self._cipher.encrypt(text.encode(errors="surrogatepass"), [b"cache"]).hex())

    def unmasked(self, text: str) -> str | None:
        """The text; None for what was not masked with this key."""
        from cryptography.exceptions import InvalidTag

        try:
            return str(self._cipher.decrypt(bytes.fromhex(text), [b"cache"]).decode(errors="surrogatepass"))
        except (InvalidTag, ValueError):
            return None
