"""Makes the golden files of keys. They were made once: later Savers must read them."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from saver.keys import age, scrypt
from saver.keys.holders import Holder, StoreKeys, write_bundle
from saver.storages.memory import MemoryStorage

HERE = Path(__file__).parent

KEYS = StoreKeys(bytes(range(32)), [bytes([number]) * 32 for number in (1, 2)])


def main() -> None:
    scrypt.FACTOR = 10
    identity = age.new_identity()
    (HERE / "golden.key").write_text(f"# public key: {identity.public}\n{identity.reveal()}\n")
    content = hashlib.shake_128(b"content").digest(100)
    (HERE / "recipients.1.age").write_bytes(age.wrap(content, [identity.public]))
    made = subprocess.run(["age", "-r", identity.public], input=content, capture_output=True, check=True)
    (HERE / "by-age.1.age").write_bytes(made.stdout)
    holders = [
        Holder("golden", identity.public, "x25519", 1.5),
        Holder("b", identity.public, "passphrase", 0.0, "b" * 32),
    ]
    storage = MemoryStorage()
    write_bundle(storage, "a" * 32, KEYS, holders, 7)
    (HERE / "bundle.1.age").write_bytes(storage.read(f"keys/{'a' * 32}.age"))
    for size in (0, 100, 70_000):
        source = hashlib.shake_256(b"random").digest(1000)
        pieces = iter((source[:16], source[16:32], source[32:48]))
        made_here = age.wrap_for_passphrase(
            hashlib.shake_128(b"content").digest(size),
            "correct horse",
            lambda size, pieces=pieces: next(pieces),
        )
        (HERE / f"passphrase.{size}.1.age").write_bytes(made_here)


if __name__ == "__main__":
    main()
