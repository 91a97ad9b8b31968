"""A reader of age files, written from https://age-encryption.org/v1 on the primitives of `cryptography`,
for the keys of sealed files and stores. It does not know Saver, pyrage or the program `age`."""

from __future__ import annotations

import base64
import hmac
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from format_reader import require

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
ZERO = bytes(12)


def unpadded(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)


def derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(key)


def secret_of(identity: str) -> X25519PrivateKey:
    """The key in the text `AGE-SECRET-KEY-1…`, which is Bech32."""
    _, _, data = identity.strip().lower().rpartition("1")
    number = 0
    for letter in data[:-6]:
        number = number << 5 | LETTERS.index(letter)
    spare = 5 * len(data[:-6]) - 256
    return X25519PrivateKey.from_private_bytes((number >> spare).to_bytes(32, "big"))


def opened(data: bytes, identity: str = "", passphrase: str = "") -> bytes:
    """What is in an age file, for the owner of an identity or for those who know a passphrase."""
    end = data.index(b"\n---")
    head, lines = data[: end + 4], data[:end].split(b"\n")
    require(lines[0] == b"age-encryption.org/v1", "not an age file")
    mac, _, payload = data[end + 5 :].partition(b"\n")
    for key in filter(None, (key_in(stanza, identity, passphrase) for stanza in stanzas(lines[1:]))):
        found = hmac.digest(derived(key, b"", b"header"), head, "sha256")
        require(hmac.compare_digest(found, unpadded(mac)), "the MAC of the header")
        return content(derived(key, payload[:16], b"payload"), payload[16:])
    raise LookupError("nothing in the file is for this key")


def stanzas(lines: list[bytes]) -> list[tuple[list[bytes], bytes]]:
    found: list[tuple[list[bytes], bytes]] = []
    for line in lines:
        if line.startswith(b"-> "):
            found.append((line[3:].split(b" "), b""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def key_in(stanza: tuple[list[bytes], bytes], identity: str, passphrase: str) -> bytes | None:
    words, body = stanza
    try:
        if words[0] == b"X25519" and identity:
            secret, share = secret_of(identity), unpadded(words[1])
            own = secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            shared = secret.exchange(X25519PublicKey.from_public_bytes(share))
            wrapping = derived(shared, share + own, b"age-encryption.org/v1/X25519")
        elif words[0] == b"scrypt" and passphrase:
            salt = b"age-encryption.org/v1/scrypt" + unpadded(words[1])
            wrapping = Scrypt(salt, 32, 1 << int(words[2]), 8, 1).derive(passphrase.encode())
        else:
            return None
        return ChaCha20Poly1305(wrapping).decrypt(ZERO, unpadded(body), b"")
    except InvalidTag:
        return None


def content(key: bytes, payload: bytes) -> bytes:
    cipher: Any = ChaCha20Poly1305(key)
    size = (64 << 10) + 16
    chunks = [payload[at : at + size] for at in range(0, max(len(payload), 1), size)]
    return b"".join(
        cipher.decrypt(number.to_bytes(11, "big") + bytes([number == len(chunks) - 1]), chunk, b"")
        for number, chunk in enumerate(chunks)
    )
