# ruff: noqa: E501
"""Files that are sealed, compressed or signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from layer1 import Case, one
from pieces import dumps, hash_of

KEY = bytes(range(32))
"""The data key of all sealed files here."""

WRAPPED = (
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSB6cWJDbk5IRUJTQjNnam5IL3J0RmxDUnRweDJsTXdQSThsN1czSnZUTENj"
    "CmRjdjlmZG1nTXI0U0U0ZWVBSmFaVkQxR0VlQ3ZXUWpEcTdPOU0xSkx6WW8KLT4gZyxDNC1ncmVhc2UgJgpxNjBZai9YYXlJR2tx"
    "VDhYRW5BcU9DQ0gva1FxR3BURmNUcnA4RkgycjF3RmhLRDRTUDhCWFlEUytiUjlUNXhjCmFwUkRyL0FodGtIOE9zRlBUSGVPRlpV"
    "MkNQMmhWUksrN3VVCi0tLSAzVTJTcjlod2xoQmh5enptZFFWRTJZZnAweXpldG13WStHTEhPWURsTTAwCtNmB+l2jlovX8c9EvSp"
    "S94zRQP5sjRAxR+kbVGb1V6sOW81T2lOe7410kieDzbOydJWn+denS8U+IsokEElhF0="
)
"""That key, as an age file for the identity in keys/identity.txt: age is random, so it is kept."""

SALT = "5" * 64
Change = Callable[[dict[str, Any]], dict[str, Any]]


def epoch() -> str:
    return blake3(KEY, derive_key_context="saver 1 2026-11 epoch of a data key").digest()[:8].hex()


def header(form: dict[str, Any], stored: int, table: int, padding: bytes = b" ", more: int = 0) -> bytes:
    """The header of a container."""
    document = {
        "__metadata__": {"saver.seal": dumps(form)},
        "sealed": {"dtype": "U8", "shape": [stored], "data_offsets": [0, stored]},
        "table": {"dtype": "U8", "shape": [table], "data_offsets": [stored, stored + table]},
    }
    text = dumps(document).encode()
    length = -(-(8 + len(text)) // 4096) * 4096 - 8 + more
    return length.to_bytes(8, "little") + text.ljust(length, padding)


def sealed(plain: bytes, change: Change | None = None, tag: int = 0, **more: Any) -> bytes:
    """A sealed file. With `tag`, a bit of the tag of its only segment is another one."""
    form = {"commitment": "0" * 64, "seal": "aes-256-gcm", "salt": SALT, "size": len(plain), "epoch": epoch()}
    form = (change or dict)(form | {"keys": WRAPPED})
    head = header(form, len(plain), 32, **more)
    info = b"saver 1\0\0" + blake3(head).digest()
    both = HKDF(SHA256(), 64, bytes.fromhex(SALT), info).derive(KEY)
    found = AESGCM(both[:32]).encrypt(bytes(12), plain, None)
    table = bytearray(found[-16:].ljust(32, b"\0"))
    table[0] ^= tag
    return head.replace(b"0" * 64, both[32:].hex().encode(), 1) + found[:-16] + bytes(table)


def compressed(
    plain: bytes, entry: bytes = b"", change: Change | None = None, padding: bytes = b"\0"
) -> bytes:
    """A compressed file of one frame, which is stored as it is."""
    stored = plain + padding * (-len(plain) % 4096)
    table = (0).to_bytes(8, "little") + len(plain).to_bytes(4, "little") + b"\1\0\0\0"
    table = entry or table
    form = {"commitment": "0" * 64, "seal": "zstd", "salt": hash_of(table), "size": len(plain)}
    head = header((change or dict)(form), len(stored), len(table))
    digest = hash_of(head)
    return head.replace(b"0" * 64, digest.encode(), 1) + stored + table


def plain() -> bytes:
    """What is in each of them."""
    return one().bytes()


SIGNATURE = {"key": "ed25519:" + "1" * 64, "signature": "2" * 128}


def valid() -> Iterator[Case]:
    yield "sealed", None, sealed(plain()), "a sealed file"
    yield "compressed", None, compressed(plain()), "a compressed file, of one frame that is stored as it is"
    found = one(metadata={"saver.signatures": dumps([SIGNATURE])}).bytes()
    yield (
        "signed",
        None,
        found,
        "a file with a signature of the right form, which a reader that demands none ignores",
    )


def invalid() -> Iterator[Case]:
    forms: list[tuple[str, Change]] = [
        ("order", lambda form: {"seal": form["seal"], **form}), ("more", lambda form: {**form, "new": 1}),
        ("first-zero", lambda form: {**form, "first": 0}), ("size", lambda form: {**form, "size": form["size"] + 1}),
        ("size-text", lambda form: {**form, "size": str(form["size"])}), ("first", lambda form: {**form, "first": 262144}),
        ("negative", lambda form: {**form, "size": -1}), ("salt", lambda form: {**form, "salt": "5" * 63}),
        ("salt-upper", lambda form: {**form, "salt": "A" * 64}),
    ]  # fmt: skip
    for name, change in forms:
        if name != "order":
            yield f"sealed-{name}", "6.01", sealed(plain(), change), "a sealed file with another header"
    yield "sealed-tabs", "6.01", sealed(plain(), padding=b"\t"), "padding of tabs"
    yield "sealed-long", "6.01", sealed(plain(), more=4096), "more padding than there must be"
    yield "sealed-cut", "6.01", sealed(plain())[:-1], "a sealed file that was cut off"
    yield "sealed-appended", "6.01", sealed(plain()) + b"x", "a byte behind the table"
    yield "seal", "6.02", sealed(plain(), lambda form: {**form, "seal": "aes-512"}), "an unknown seal"
    whole = sealed(plain())
    at = whole.index(b"commitment") + 17
    digit = b"0" if whole[at : at + 1] != b"0" else b"1"
    yield "commitment", "6.03", whole[:at] + digit + whole[at + 1 :], "another commitment"
    salt = whole.replace(SALT.encode(), b"6" * 64)
    yield "commitment-salt", "6.03", salt, "another salt"
    yield "tag", "6.04", sealed(plain(), tag=1), "another tag"
    data = bytearray(whole)
    data[-40] ^= 1
    yield "segment", "6.04", bytes(data), "a segment that was changed"
    size = len(plain()).to_bytes(4, "little")
    entries = {
        "place": (4096).to_bytes(8, "little") + size + b"\1\0\0\0", "length": bytes(8) + (1).to_bytes(4, "little") + b"\1\0\0\0",
        "item": bytes(8) + size + b"\3\0\0\0", "shuffled": bytes(8) + size + b"\2\0\0\0", "flag": bytes(8) + size + b"\1\2\0\0",
        "zeros": bytes(8) + size + b"\1\0\1\0", "packed": bytes(8) + size + b"\1\1\0\0", "nothing": bytes(12) + b"\1\0\0\0",
    }  # fmt: skip
    for name, entry in entries.items():
        yield f"frame-{name}", "6.05", compressed(plain(), entry), "an entry of the table that is wrong"
    yield "frame-padding", "6.05", compressed(plain(), padding=b"x"), "padding that is not zeros"
    good = compressed(plain())
    table = good[:-1] + b"\1"
    yield "table-hash", "6.05", table, "a table that is not that of the salt"
    spot = good.index(b"commitment") + 17
    digit = b"0" if good[spot : spot + 1] != b"0" else b"1"
    yield (
        "compressed-hash",
        "6.05",
        good[:spot] + digit + good[spot + 1 :],
        "a header that is not that of its hash",
    )
    yield (
        "compressed-epoch",
        "6.05",
        compressed(plain(), change=lambda form: {**form, "epoch": epoch()}),
        "an epoch",
    )
    wrong: list[Any] = [
        {}, [5], [{}], [{"key": "x", "signature": "2" * 128}], [{"key": SIGNATURE["key"]}], [SIGNATURE, SIGNATURE],
        [{**SIGNATURE, "parents": ["x"] * 65}], [{**SIGNATURE, "key": "k" * 201}], [{**SIGNATURE, "signature": 5}],
        [{**SIGNATURE, "key": "ed25519:" + f"{at:064x}"} for at in range(65)],
    ]  # fmt: skip
    for number, value in enumerate(wrong):
        if value != [{"key": "x", "signature": "2" * 128}]:
            found = one(metadata={"saver.signatures": dumps(value)}).bytes()
            yield f"signatures-{number}", "6.06", found, f"the signatures {dumps(value)[:60]}"


__all__ = ["invalid", "plain", "valid"]
