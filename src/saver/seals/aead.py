"""Encryption: AES-256-GCM in segments, under a key that only one object has.

From a data key and 32 random bytes, HKDF-SHA256 (RFC 5869) derives the key of the object and its commitment,
with the object's name and its header as context. Nonces cannot repeat: a key encrypts one object only, each
segment of it once, and the nonce is the segment's number. A segment cannot be moved, since its number would
be another; none can be left out, since the size is in the header. AES-GCM alone does not commit to its key:
a reader compares the commitment before it decrypts anything (Albertini et al., "How to Abuse and Fix
Authenticated Encryption Without Key Commitment", 2022).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from blake3 import blake3

from saver.errors import DamagedError, IncompatibleError, WrongKeyError
from saver.seal import Seal
from saver.seals.layout import COMMITMENT, Head, header_of, parse_header
from saver.seals.opening import SealedBlob
from saver.seals.segments import SEGMENT, TAG, Grid, SegmentSink, grid_of, nonce, sealed_in_order
from saver.storage import ALIGNMENT, Blob, Content, Sink

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NAME = "aes-256-gcm"
MAGIC = b"saver.sealed.1\n\0"
"""Documents begin with it; the epoch (8 bytes), the salt and the commitment (32 each) follow."""

_FIRST = len(MAGIC) + 8 + 32 + 32


def epoch_of(key: bytes) -> str:
    """The name of a data key: it tells nothing of the key."""
    return blake3(key, derive_key_context="saver 1 2026-11 epoch of a data key").hexdigest(length=8)


def derived(key: bytes, salt: bytes, context: bytes) -> tuple[AESGCM, bytes]:
    """The cipher of an object, and its commitment."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError:
        raise IncompatibleError(
            "encryption needs the package cryptography (47 or newer); pip install 'saver-ml[encryption]'"
        ) from None
    both = HKDF(SHA256(), 64, salt, context).derive(key)
    return AESGCM(both[:32]), both[32:]


class Aead(Seal):
    """`keys` returns the data keys that are known, the one for new objects last; `more` looks for further
    ones, when an object was sealed with another key. `wrapped` goes into the header of packs. `fresh` makes
    random bytes: only tests replace it.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[bytes]],
        more: Callable[[], Sequence[bytes]] | None = None,
        wrapped: str = "",
        fresh: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._keys = keys
        self._more = more
        self._wrapped = wrapped
        self._fresh = fresh

    def content(self, name: str, content: Content) -> Content:
        return _SealedContent(
            content, lambda grid: len(self._header(bytes(32), grid)), partial(self._begun, name)
        )

    def _header(self, salt: bytes, grid: Grid) -> bytes:
        """The header of a pack, with zeros in place of its commitment."""
        epoch = epoch_of(self._keys()[-1])
        head = Head("0" * 64, NAME, salt.hex(), grid.size, grid.first, epoch, self._wrapped)
        return header_of(head, grid.size, grid.table)

    def _begun(self, name: str, grid: Grid) -> tuple[AESGCM, bytes]:
        """The cipher of a new pack, and its header."""
        salt = self._fresh(32)
        header = self._header(salt, grid)
        cipher, commitment = derived(self._keys()[-1], salt, _context(name, header))
        return cipher, _committed(header, commitment.hex().encode())

    def blob(self, name: str, blob: Blob, again: Callable[[], Blob] | None = None) -> Blob:
        size = self.size(blob.size) or 0
        return SealedBlob(blob, size, partial(self._begin_reading, name, size), again)

    def file(self, blob: Blob) -> Blob:
        """What was sealed as a single file, whose header may have any length."""
        head, *_ = parsed(blob)
        return SealedBlob(blob, head.size, partial(self._begin_reading, "", head.size))

    def _begin_reading(self, name: str, size: int, blob: Blob) -> tuple[AESGCM, int, Grid]:
        """The cipher of a pack of `size` bytes, where its first segment is, and how it is cut. Raises
        DamagedError unless the header is the one that was written for this name, with this key."""
        head, header = parsed(blob)
        key = self._key(head.epoch, blob.name)
        context = _context(name, _committed(header, b"0" * 64))
        cipher, commitment = derived(key, bytes.fromhex(head.salt), context)
        _compare(commitment, bytes.fromhex(head.commitment), blob.name)
        if head.size != size:
            raise DamagedError(f"{blob.name}: its header is longer than that of a pack; restore a copy")
        return cipher, len(header), Grid(size, head.first)

    def document(self, name: str, data: bytes) -> bytes:
        key, salt = self._keys()[-1], self._fresh(32)
        epoch = bytes.fromhex(epoch_of(key))
        cipher, commitment = derived(key, salt, _context(name, epoch))
        return b"".join((MAGIC, epoch, salt, commitment, cipher.encrypt(nonce(0), data, None)))

    def opened(self, name: str, data: bytes, where: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        if data[: len(MAGIC)] != MAGIC or len(data) < _FIRST + TAG:
            raise DamagedError(
                f"{where}: it is not sealed, though everything here should be; it was cut off, or somebody "
                "put it here: restore it from a copy"
            )
        at = len(MAGIC)
        epoch, salt, claimed = data[at : at + 8], data[at + 8 : at + 40], data[at + 40 : _FIRST]
        cipher, commitment = derived(self._key(epoch.hex(), where), salt, _context(name, epoch))
        _compare(commitment, claimed, where)
        try:
            return cipher.decrypt(nonce(0), data[_FIRST:], None)
        except InvalidTag:
            raise DamagedError(
                f"{where}: its bytes are not those that were sealed; restore it from a copy",
                rule="6.04",
            ) from None

    def is_current(self, first: bytes) -> bool:
        epoch = epoch_of(self._keys()[-1])
        at = len(MAGIC)
        return f'\\"epoch\\":\\"{epoch}\\"'.encode() in first or first[at : at + 8].hex() == epoch

    def size(self, size: int) -> int | None:
        """The inverse of the size of a sealed pack whose header has one page."""
        rest = size - ALIGNMENT
        found = rest - TAG - TAG * -(-(rest - TAG) // (SEGMENT + TAG))
        return found if found >= 0 and found + Grid(found).table == rest else None

    def document_size(self, size: int) -> int:
        return max(size - _FIRST - TAG, 0)

    def _key(self, epoch: str, where: str) -> bytes:
        """The data key of this name. Raises WrongKeyError."""
        for look in (self._keys, self._more):
            for key in reversed(look() if look is not None else ()):
                if epoch_of(key) == epoch:
                    return key
        raise WrongKeyError(
            f"{where}: it was sealed with a data key that yours do not open; ask a holder to add you, or "
            "pass another key"
        )


def parsed(blob: Blob) -> tuple[Head, bytes]:
    """How a pack is sealed, and its header. Raises DamagedError, and IncompatibleError for other seals."""
    head, header, stored, table = parse_header(blob)
    if head.seal != NAME:
        raise IncompatibleError(
            f"{blob.name} has the seal {head.seal[:40]!r}, which this Saver does not know; install "
            "a newer one",
            rule="6.02",
        )
    if (stored, table) != (head.size, Grid(head.size).table) or not 0 <= head.first < SEGMENT:
        raise DamagedError(
            f"{blob.name}: the header of this sealed file contradicts itself; restore a copy", rule="6.01"
        )
    return head, header


def _context(name: str, header: bytes) -> bytes:
    """What keys are derived for: an object of this name, with this header."""
    return b"saver 1\0" + name.encode() + b"\0" + blake3(header).digest()


def _committed(header: bytes, commitment: bytes) -> bytes:
    """The header with this commitment."""
    return b"".join((header[: COMMITMENT.start], commitment, header[COMMITMENT.stop :]))


def _compare(commitment: bytes, claimed: bytes, where: str) -> None:
    if not hmac.compare_digest(commitment, claimed):
        raise DamagedError(
            f"{where}: it was not sealed as this object, with this key: it was changed, or put in the place "
            "of another one; restore it from a copy",
            rule="6.03",
        )


class _SealedContent(Content):
    """`begin` returns the cipher and the header of a new pack that is cut like this, and `before` the
    header's bytes."""

    def __init__(
        self, content: Content, before: Callable[[Grid], int], begin: Callable[[Grid], tuple[AESGCM, bytes]]
    ) -> None:
        self._content = content
        self._before = before
        self._begin = begin
        self._measure()

    def _measure(self) -> Grid:
        grid = grid_of(self._content)
        self.size = self._before(grid) + self._content.size + grid.table
        return grid

    def settle(self) -> None:
        self._content.settle()
        self._measure()

    def write(self, sink: Sink) -> None:
        self._content.settle()  # the header, for which the key is made, has the size
        grid = self._measure()
        cipher, header = self._begin(grid)
        sealing = SegmentSink(sink, cipher, len(header), grid)
        self._content.write(sealing)
        sealing.finish()
        sink.write(header, 0)

    def pieces(self) -> Iterator[bytes | memoryview]:
        self._content.settle()
        grid = self._measure()
        cipher, header = self._begin(grid)
        yield header
        yield from sealed_in_order(self._content, cipher, grid)
