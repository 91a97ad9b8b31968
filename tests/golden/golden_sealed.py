"""What the golden sealed store and files hold, and the keys that open them. Never change it: add another."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

import saver
from saver.keys import age
from saver.keys.holders import (
    Holder,
    StoreKeys,
    bundle_key,
    seal_header,
    wrap_identity,
    write_bundle,
)
from saver.keys.secret import Identity, Passphrase
from saver.seals.aead import Aead
from saver.storage import Bytes, Storage
from saver.storages import sealed
from saver.storages.local import LocalStorage

IDENTITY = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG"
"""The bytes 0 to 31, as age writes them: anyone who reads this can open the golden files."""

PASSPHRASE = "a golden passphrase"

NAMES = bytes(range(100, 132))
EPOCHS = [bytes(range(start, start + 32)) for start in (32, 64)]


def large() -> Any:
    """One pack of a first segment that is shorter, a whole one and a rest."""
    return {"weights": np.arange(50_000, dtype=np.float64), "rows": np.arange(7, dtype=np.int16)}


def changed() -> Any:
    return {**large(), "rows": np.arange(8, dtype=np.int16)}


def forest(scale: float = 2.0) -> Any:
    """A part whose tree has a document of its own, which versions share."""
    words = {f"word {n}": (n, "a word") for n in range(3000)}
    return {"words": words, "scale": np.full(3, scale), "weights": np.arange(9000.0)}


def small() -> Any:
    """A version that is one file."""
    return {"weights": np.arange(12.0).reshape(3, 4), "words": ["a", "b"]}


STORE: dict[str, Callable[[], Any]] = {
    "small@1": small, "large@1": large, "large@2": changed, "forest@3": forest,
    "later@1": small,
}  # fmt: skip
FILES: dict[str, Callable[[], Any]] = {"recipient": large, "passphrase": small}


class Fixed:
    """Random bytes that are the same each time."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return blake3(b"golden %d" % self.count).digest(length=size)


class GoldenHolder:
    """Who has the keys of the golden store, and makes them."""

    def __init__(self, epochs: int) -> None:
        self.keys = StoreKeys(NAMES, EPOCHS[:epochs])

    def make(self, storage: Storage) -> tuple[StoreKeys, dict[str, Any]]:
        write_keys(storage, self.keys)
        return self.keys, seal_header(self.keys)

    def open(self, storage: Storage, seal: Mapping[str, Any]) -> StoreKeys:
        return self.keys


@functools.cache
def other() -> Identity:
    """That of the holder with a passphrase. It is random: nobody needs to know it."""
    return age.new_identity()


def write_keys(storage: Storage, keys: StoreKeys) -> None:
    """A bundle for the owner of an identity and for those who know a passphrase."""
    wrapped = "1" * 32
    if storage.stat(bundle_key(wrapped)) is None:
        storage.put(bundle_key(wrapped), Bytes(wrap_identity(other(), Passphrase(PASSPHRASE))))
    own = age.identity(IDENTITY, "golden").public
    holders = [Holder("ann", own), Holder("bob", other().public, "passphrase", 1.5, wrapped)]
    write_bundle(storage, f"{len(keys.epochs) + 1}" * 32, keys, holders, len(keys.epochs) - 1)


@contextmanager
def fixed_bytes() -> Iterator[None]:
    """The salts of what is sealed are the same each time; what pyrage and the file's own ids take is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "Aead", functools.partial(Aead, fresh=Fixed()))
        yield


def make(folder: Path) -> None:
    """A store whose data key changes in between, with enough records for a checkpoint."""
    storage = LocalStorage(folder)
    with fixed_bytes():
        store = saver.Saver(sealed.SealedStorage(storage, GoldenHolder(1)))
        store.save("small", small(), metrics={"loss": 0.5}, tags=["first"], notes="the first")
        store.save("large", large())
        store.save("large", changed(), step=2)
        for scale in (0.0, 1.0, 2.0):
            store.save("forest", forest(scale))
        for turn in range(60):
            store.tag(f"large@{(1, 2)[turn % 2]}", "moving")
        os.remove(folder / bundle_key("2" * 32))
        write_keys(storage, StoreKeys(NAMES, EPOCHS))
        store = saver.Saver(sealed.SealedStorage(storage, GoldenHolder(2)))
        store.save("later", small())


def make_files(folder: Path) -> None:
    """Single files, for the owner of the identity, and for those who know the passphrase."""
    public = age.identity(IDENTITY, "golden").public
    saver.dump(large(), folder / "recipient.1.saver", to=public)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOLDEN_PASSPHRASE", PASSPHRASE)
        saver.dump(small(), folder / "passphrase.1.saver", to="env:GOLDEN_PASSPHRASE")
