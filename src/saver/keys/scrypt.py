"""age files for a passphrase: the scrypt stanza, the header's MAC, and the payload (STREAM of 64 KiB chunks),
on the primitives of `cryptography`. https://age-encryption.org/v1 is the specification.

The library that writes for recipients chooses the work factor by the machine, up to 4 GB of memory, and reads
as much. Here it is one number, and what is read is bounded.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Any

from saver.errors import DamagedError, IncompatibleError, WrongKeyError
from saver.keys.header import VERSION, WIDTH, Header, Stanza, from_base64, to_base64
from saver.keys.packages import primitives
from saver.keys.secret import Passphrase, shielded

FACTOR = 18
"""The work factor that is written: 2¹⁸ rounds of 1 KiB, that is 256 MiB and 0.7 s on a slow machine."""

FACTORS = range(10, 19)
"""The factors that are read."""

KIND = "scrypt"

_LABEL = b"age-encryption.org/v1/scrypt"
_CHUNK = 64 << 10
_TAG = 16
_NONCE = 16
_ZERO = b"\0" * 12
_NUMBER = re.compile(rb"[1-9][0-9]{0,3}")


@shielded
def wrapped(data: bytes, passphrase: Passphrase, random: Callable[[int], bytes], factor: int) -> bytes:
    """An age file with this content, for this passphrase."""
    key, salt, nonce = random(16), random(16), random(_NONCE)
    body = _cipher(_stretched(passphrase, salt, factor)).encrypt(_ZERO, key, b"")
    lines = to_base64(body)
    rows = [lines[at : at + WIDTH] for at in range(0, len(lines) + 1, WIDTH)]
    stanza = b"-> scrypt %b %d\n%b\n---" % (to_base64(salt), factor, b"\n".join(rows))
    signed = VERSION + b"\n" + stanza
    return b"".join((signed, b" ", to_base64(_mac(key, signed)), b"\n", nonce, _sealed(key, nonce, data)))


@shielded
def unwrapped(data: bytes, header: Header, passphrases: list[Passphrase], where: str) -> bytes:
    """The content of an age file whose only stanza is of a passphrase. Raises WrongKeyError if none of these
    opens it, DamagedError if its bytes were changed, IncompatibleError for a factor that is not read."""
    stanza = header.stanzas[0]
    salt, factor = _arguments(stanza, where)
    key = next(filter(None, (_key(stanza, each, salt, factor) for each in passphrases)), None)
    if key is None:
        count = len(passphrases)
        raise WrongKeyError(
            f"{where}: {'the passphrase does' if count == 1 else f'the {count} passphrases do'} not open it; "
            "type it again, or pass another one"
        )
    if not hmac.compare_digest(_mac(key, header.signed), header.mac):
        raise DamagedError(f"{where}: the header does not match its MAC; restore it from a copy")
    return _opened(key, data, header.end, where)


def _arguments(stanza: Stanza, where: str) -> tuple[bytes, int]:
    """The salt and the work factor."""
    salt = from_base64(stanza.arguments[0]) if len(stanza.arguments) == 2 else None
    if salt is None or len(salt) != 16 or len(stanza.body) != 32:
        raise DamagedError(f"{where}: the recipient {KIND} is malformed; restore it from a copy")
    text = stanza.arguments[1]
    if not text.isdigit() or text.startswith(b"0"):
        raise DamagedError(f"{where}: the work factor is not a number; restore it from a copy")
    if not _NUMBER.fullmatch(text) or int(text) not in FACTORS:
        raise IncompatibleError(
            f"{where}: the work factor {text[:20].decode()} is not one of {FACTORS[0]} to {FACTORS[-1]}, "
            "which Saver reads; decrypt it with age, and encrypt it again with `saver key new`"
        )
    return salt, int(text)


def _key(stanza: Stanza, passphrase: Passphrase, salt: bytes, factor: int) -> bytes | None:
    invalid = primitives().exceptions.InvalidTag
    try:
        found: bytes = _cipher(_stretched(passphrase, salt, factor)).decrypt(_ZERO, stanza.body, b"")
    except invalid:
        return None
    return found


def _stretched(passphrase: Passphrase, salt: bytes, factor: int) -> bytes:
    scrypt = primitives().Scrypt(salt=_LABEL + salt, length=32, n=1 << factor, r=8, p=1)
    found: bytes = scrypt.derive(passphrase.reveal().encode())
    return found


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    found = primitives()
    derived: bytes = found.HKDF(algorithm=found.SHA256(), length=32, salt=salt, info=info).derive(key)
    return derived


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(_derived(key, b"", b"header"), signed, "sha256")


def _cipher(key: bytes) -> Any:
    return primitives().ChaCha20Poly1305(key)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _sealed(key: bytes, nonce: bytes, data: bytes) -> bytes:
    cipher = _cipher(_derived(key, nonce, b"payload"))
    starts = range(0, max(len(data), 1), _CHUNK)
    return b"".join(
        cipher.encrypt(_nonce(number, number == len(starts) - 1), data[at : at + _CHUNK], b"")
        for number, at in enumerate(starts)
    )


def _opened(key: bytes, data: bytes, start: int, where: str) -> bytes:
    """The payload that begins at `start`."""
    nonce, payload = data[start : start + _NONCE], data[start + _NONCE :]
    starts = range(0, max(len(payload), 1), _CHUNK + _TAG)
    cipher, invalid = _cipher(_derived(key, nonce, b"payload")), primitives().exceptions.InvalidTag
    found = []
    try:
        if len(nonce) < _NONCE or len(payload) < _TAG:
            raise invalid
        for number, at in enumerate(starts):
            chunk = payload[at : at + _CHUNK + _TAG]
            if len(chunk) <= _TAG and number:  # only an empty content has an empty chunk
                raise invalid
            found.append(cipher.decrypt(_nonce(number, number == len(starts) - 1), chunk, b""))
    except invalid:
        raise DamagedError(
            f"{where}: the content is cut off or was changed; restore it from a copy"
        ) from None
    return b"".join(found)
