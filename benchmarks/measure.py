"""How times are measured: the meaning of cold and of durable, and rounds in which all take turns."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LARGE = 64 << 20
"""Bytes from which on deleting a file keeps the disk busy for a while."""

COLD = 0.01
"""A file counts as cold when at most this share of its pages is in the page cache."""


def timed(action: Callable[[], T]) -> tuple[float, T]:
    """Seconds that `action` took, and what it returned.

    Garbage is collected and freed memory is returned beforehand, so that each action finds the heap of a
    process that has loaded nothing yet.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    begin = time.perf_counter()
    result = action()
    return time.perf_counter() - begin, result


def files_of(path: Path) -> list[Path]:
    """The file itself, or all files of a folder."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def make_durable(path: Path) -> None:
    """Do what every peer omits: fsync the file (or all files of a folder) and the folders."""
    for each in (*files_of(path), *([path] if path.is_dir() else []), path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def resident(path: Path) -> float:
    """The share of a file's pages that is in the page cache, by mincore(2), which reads nothing."""
    size = path.stat().st_size
    if size == 0:
        return 0.0
    pages = -(-size // mmap.PAGESIZE)
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
    library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    library.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        at = library.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    finally:
        os.close(descriptor)
    if at == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), f"mmap {path}")
    flags = ctypes.create_string_buffer(pages)
    failed = library.mincore(at, size, flags)
    library.munmap(at, size)
    if failed:
        raise OSError(ctypes.get_errno(), f"mincore {path}")
    return sum(flag & 1 for flag in flags.raw) / pages


def make_cold(path: Path) -> None:
    """Remove a durable file from the page cache, and make sure that it is gone."""
    for file in files_of(path):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
        if file.stat().st_size > 1 << 20 and (share := resident(file)) > COLD:
            raise RuntimeError(
                f"{file}: {share:.0%} of it stays in the page cache after POSIX_FADV_DONTNEED, so a cold "
                "load cannot be measured there; choose a --folder on a disk"
            )


def make_warm(path: Path) -> None:
    """Read a file through the page cache."""
    buffer = bytearray(1 << 20)
    for file in files_of(path):
        with open(file, "rb", buffering=0) as opened:
            while opened.readinto(buffer):
                pass


def remove(path: Path) -> None:
    """Delete, and wait until the disk has done it, so that the next measurement does not include it."""
    if not path.exists():
        return
    size = sum(file.stat().st_size for file in files_of(path))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if size > LARGE:
        os.sync()
        time.sleep(0.2)


def rounds(count: int, turns: Iterable[Callable[[], None]]) -> None:
    """Run every turn once per round, for `count` rounds, each of which begins with another turn.

    Other work of the machine affects all alike, and ratios are taken within a round. Objects that exist
    beforehand are hidden from the garbage collector: it takes 0.15 s to go through all loaded modules, in
    whichever turn it happens to run.
    """
    everyone = list(turns)
    gc.collect()
    gc.freeze()
    try:
        for number in range(count):
            first = number * 3 % len(everyone)
            for turn in everyone[first:] + everyone[:first]:
                turn()
    finally:
        gc.unfreeze()
