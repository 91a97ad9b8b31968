"""What sealing costs: saves and loads beside plain ones and beside the ciphers; holders; lookups."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

import saver
from benchmarks.measure import make_cold, make_warm, remove, rounds, timed
from benchmarks.states import TENSORS
from benchmarks.tables import Row, Table
from saver.keys.files import new_key_file, public_path
from saver.seals.segments import SEGMENT

PLAIN, SEALED = "plain", "sealed"
AES, CHACHA = "AES-256-GCM alone", "ChaCha20-Poly1305 alone"
OPEN, FIND, LIST, LOAD = "open and load", "find a version", "list a model's versions", "load"
THREADS = os.cpu_count() or 1
VERSIONS = 10_000


def run(folder: Path, repeat: int, factor: int, versions: int = VERSIONS) -> list[Table]:
    """Three tables: `sealed-save`, `sealed-load`, and `sealed-lookups` (and a holder)."""
    arrays = (TENSORS.smaller(factor) if factor > 1 else TENSORS).arrays()
    size = sum(each.nbytes for each in arrays.values())
    key = str(folder / "team.key")
    new_key_file(key)

    def store(kind: str, name: str = "") -> saver.Saver:
        return saver.Saver(folder / f"{kind}{name}", key=key if kind == SEALED else None)

    found = [*_large(store, arrays, size, folder, repeat), _small(store, key, folder, repeat, versions)]
    for each in (key, public_path(key)):
        os.remove(each)
    return found


def _cipher(kind: str, size: int) -> Callable[[], object]:
    """Encrypts so many bytes, on all processors, in segments."""
    cipher = (AESGCM if kind == AES else ChaCha20Poly1305)(os.urandom(32))
    data = os.urandom(SEGMENT)

    def part(number: int) -> None:
        out = bytearray(SEGMENT + 16)
        for each in range(size // SEGMENT // THREADS + 1):
            cipher.encrypt_into(bytes([number]) + each.to_bytes(11, "big"), data, None, out)

    def whole() -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(part, range(THREADS)))

    return whole


def _large(
    store: Callable[..., saver.Saver], arrays: object, size: int, folder: Path, repeat: int
) -> list[Table]:
    saves: dict[str, list[float]] = defaultdict(list)
    loads: dict[str, list[float]] = defaultdict(list)

    def turn(kind: str) -> Callable[[], None]:
        def measured() -> None:
            place = folder / kind
            saves[kind].append(timed(lambda: store(kind).save("m", arrays))[0])
            for temperature, make in (("cold", make_cold), ("warm", make_warm)):
                make(place)
                loads[f"{kind}, {temperature}"].append(timed(lambda: store(kind).load("m"))[0])
            remove(place)

        return measured

    def cipher(kind: str) -> Callable[[], None]:
        return lambda: saves[kind].append(timed(_cipher(kind, size))[0])

    rounds(repeat, [turn(PLAIN), turn(SEALED), cipher(AES), cipher(CHACHA)])
    rows = tuple(Row(what, tuple(saves[what])) for what in (SEALED, PLAIN, AES, CHACHA))
    about = f"The ciphers encrypt as many bytes in memory, in {THREADS} threads."
    loading = tuple(
        Row(f"{kind}, {each}", tuple(loads[f"{kind}, {each}"]))
        for each in ("cold", "warm")
        for kind in (SEALED, PLAIN)
    )
    return [
        Table("sealed-save", "sealed save, durable", about, rows, PLAIN, size=size),
        Table("sealed-load", "sealed load", "Everything is verified.", loading, f"{PLAIN}, cold", size=size),
    ]


def _small(store: Callable[..., saver.Saver], key: str, folder: Path, repeat: int, versions: int) -> Table:
    seconds: dict[str, list[float]] = defaultdict(list)
    for kind in (PLAIN, SEALED):
        filled = store(kind, "-many")
        for number in range(versions):
            filled.save(f"m{number % 100}", {"number": number})

    def lookup(kind: str) -> Callable[[], None]:
        def measured() -> None:
            held, ref = store(kind, "-many"), f"m7@{max(versions // 200, 1)}"
            for what, ask in (
                (OPEN, lambda: held.load(ref)),
                (FIND, lambda: held.version(ref)),
                (LIST, lambda: held.versions("m7")),
                (LOAD, lambda: held.load(ref)),
            ):
                seconds[f"{what}, {kind}"].append(timed(ask)[0])

        return measured

    def holder() -> None:
        other = str(folder / "other.key")
        new_key_file(other)
        held = store(SEALED, "-many")
        seconds["add a holder"].append(timed(lambda: held.add_holder(public_path(other), "other"))[0])
        held.remove_holder("other")
        os.remove(other)
        os.remove(public_path(other))

    rounds(repeat, [lookup(PLAIN), lookup(SEALED), holder])
    remove(folder / f"{PLAIN}-many")
    remove(folder / f"{SEALED}-many")
    names = [f"{what}, {kind}" for what in (FIND, LIST, LOAD, OPEN) for kind in (SEALED, PLAIN)]
    rows = tuple(Row(what, tuple(seconds[what])) for what in (*names, "add a holder"))
    about = (
        f"In stores of {versions:,} versions, open already but for one row. Adding a holder rewrites nothing."
    )
    return Table("sealed-lookups", "lookups in a sealed store, and its holders", about, rows, names[1])
