"""Files in the format of age, https://age-encryption.org/v1, small enough for memory: for recipients through
the package `pyrage`, for passphrases through `scrypt.py`. The program `age` reads what is written here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from saver.errors import DamagedError, IncompatibleError, KeyNeededError, WrongKeyError
from saver.keys import scrypt
from saver.keys.header import STANZAS, Header, from_base64, parse
from saver.keys.packages import recipients as pyrage
from saver.keys.secret import Identity, Passphrase, shielded

CONTENT = 1 << 20
"""Bytes of content that such a file may have."""

FILE = CONTENT + (1 << 20)
"""Bytes of a file: its content and the longest header."""

KIND = "X25519"
PREFIX = "AGE-SECRET-KEY-1"
"""How the text of an identity begins."""

_DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_PRIME = 2**255 - 19
_SMALL = frozenset((
    0, 1, _PRIME - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
))  # fmt: skip
"""The points of X25519 whose order divides 8: everybody knows the secret that they share with anyone."""

_NO_MATCH = "No matching keys found"


def new_identity() -> Identity:
    """A new random identity."""
    return identity(str(pyrage().x25519.Identity.generate()), "a new identity")


@shielded
def identity(text: str, where: str) -> Identity:
    """The identity that a text is. Raises IncompatibleError, which does not show it."""
    try:
        found = pyrage().x25519.Identity.from_str(text.strip())
    except pyrage().IdentityError:
        raise IncompatibleError(
            f"{where}: a line begins with {PREFIX}, but is not an identity of age; copy all of it again"
        ) from None
    return Identity(str(found), str(found.to_public()))


def is_secret(text: str) -> bool:
    """Whether a text, passed where a name or a public key belongs, is a secret key."""
    return text.strip().upper().startswith("AGE-SECRET-KEY-")


@shielded
def check_recipient(text: str) -> str:
    """A public key, checked: the text itself. Raises ValueError."""
    if is_secret(text):
        raise ValueError("the recipient is a secret key; pass the public one, which begins with age1")
    try:
        found = str(pyrage().x25519.Recipient.from_str(text.strip()))
    except (pyrage().RecipientError, UnicodeEncodeError):
        raise ValueError(
            f"{text[:80]!r} is not a public key of age; pass one that begins with age1, or the path of a "
            "file NAME.pub"
        ) from None
    if _point(found) in _SMALL:
        raise ValueError(
            f"{found} is a key of small order: what is sealed for it is open to everybody; pass another one"
        )
    return found


def _point(text: str) -> int:
    """The point of a public key of age, as X25519 reads it: 256 bits in Bech32 (BIP 173), less the first."""
    value = 0
    for char in text[len("age1") : -6]:
        value = value << 5 | _DIGITS.index(char)
    return int.from_bytes((value >> 4).to_bytes(32, "big"), "little") % 2**255 % _PRIME


@shielded
def wrap(data: bytes, recipients: Sequence[str]) -> bytes:
    """An age file with this content for the holders of these public keys (`age1…`), 1 to 64. Raises
    ValueError."""
    _check_content(data)
    if not 1 <= len(recipients) <= STANZAS:
        raise ValueError(f"recipients: {len(recipients)} public keys were passed; pass 1 to {STANZAS}")
    found = [pyrage().x25519.Recipient.from_str(check_recipient(text)) for text in recipients]
    return bytes(pyrage().encrypt(data, found))


@shielded
def wrap_for_passphrase(
    data: bytes, passphrase: str | Passphrase, random: Callable[[int], bytes] = os.urandom
) -> bytes:
    """An age file with this content for a passphrase. `random` is replaced by tests. Raises ValueError if the
    passphrase is empty."""
    _check_content(data)
    secret = _passphrase(passphrase)
    if not secret.reveal():
        raise ValueError("the passphrase is empty; type one")
    return scrypt.wrapped(data, secret, random, scrypt.FACTOR)


@shielded
def _passphrase(given: str | Passphrase) -> Passphrase:
    found = given if isinstance(given, Passphrase) else Passphrase(given)
    try:
        found.reveal().encode()
    except UnicodeEncodeError:
        raise ValueError("the passphrase has a character that UTF-8 lacks; type another one") from None
    return found


def _check_content(data: bytes) -> None:
    if len(data) > CONTENT:
        raise ValueError(f"the content has {len(data):,} bytes; a wrapped key has at most {CONTENT:,}")


def for_passphrase(data: bytes, where: str) -> bool:
    """Whether a file is for a passphrase, and not for recipients. Raises DamagedError, and IncompatibleError
    for files that Saver does not read."""
    return _kind(data, parse(data, where), where) == scrypt.KIND


def unwrap(
    data: bytes,
    identities: Sequence[Identity] = (),
    passphrases: Sequence[str | Passphrase] = (),
    where: str = "the age file",
) -> bytes:
    """The content of an age file. Raises KeyNeededError without a key of its kind, WrongKeyError if none of
    them opens it, DamagedError, or IncompatibleError for files that Saver does not read."""
    secrets = [_passphrase(each) for each in passphrases]
    del passphrases  # an error would show those that are texts
    header = parse(data, where)
    if _kind(data, header, where) == KIND:
        if not identities:
            raise KeyNeededError(f"{where} is encrypted for recipients; pass the key file of one: key=FILE")
        return _unwrapped(data, list(identities), where)
    if not secrets:
        raise KeyNeededError(
            f"{where} is encrypted with a passphrase; pass key='prompt' (--key prompt) to be asked for it"
        )
    return scrypt.unwrapped(data, header, secrets, where)


@shielded
def _unwrapped(data: bytes, identities: list[Identity], where: str) -> bytes:
    found = [pyrage().x25519.Identity.from_str(each.reveal()) for each in identities]
    try:
        return bytes(pyrage().decrypt(data, found))
    except pyrage().DecryptError as error:
        what = str(error)
    count = len(identities)
    if what == _NO_MATCH:
        raise WrongKeyError(
            f"{where}: {'the key does' if count == 1 else f'the {count} keys do'} not open it: it is for "
            "other recipients; pass the key of one of them"
        )
    raise DamagedError(
        f"{where}: its bytes were changed or cut off ({what.splitlines()[0][:80]}); restore it from a copy"
    )


def _kind(data: bytes, header: Header, where: str) -> str:
    """Which kind of key opens a file."""
    if len(data) > FILE:
        raise IncompatibleError(f"{where} has {len(data):,} bytes; a wrapped key has at most {FILE:,}")
    if scrypt.KIND in header.kinds:
        if len(header.stanzas) > 1:
            raise IncompatibleError(
                f"{where} is for a passphrase and for others, which age does not allow; do not trust it"
            )
        return scrypt.KIND
    shares = [stanza for stanza in header.stanzas if stanza.kind == KIND]
    for stanza in shares:
        share = from_base64(stanza.arguments[0]) if len(stanza.arguments) == 1 else None
        if share is None or len(share) != 32 or len(stanza.body) != 32:
            raise DamagedError(f"{where}: the recipient {KIND} is malformed; restore it from a copy")
    if not shares:
        kinds = ", ".join(sorted(kind[:40] for kind in header.kinds)[:5])
        raise IncompatibleError(
            f"{where}: it is for recipients of the kinds {kinds} only, which Saver does not read; have it "
            "encrypted for a public key that begins with age1"
        )
    return KIND
