"""The state of this machine and of a store's folder: what `saver doctor` reports without an argument."""

from __future__ import annotations

import mmap
import os
import shutil
import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from saver import Saver, configuration, registry
from saver.caching import cache_folder, opened
from saver.cli._bucket import examined
from saver.cli._screen import size
from saver.cli._store import counted
from saver.disk.files import FILES, Files
from saver.doctor import Finding, environment_here
from saver.environment import distribution
from saver.errors import SaverError
from saver.family import Severity
from saver.storage import ALIGNMENT, Storage

_ALWAYS = ("numpy", "python", "saver")
"""Families of packages that are installed wherever Saver is."""

MEMORY = ("tmpfs", "ramfs")
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "lustre", "glusterfs")


def inspect(store: str) -> list[Finding]:
    """Findings about this machine, the store, and the folder that holds it or would hold it."""
    findings = [*_software()]
    if "://" not in store:
        folder = _existing(os.path.abspath(store))
        findings += [*_store(store), *_place(folder), *_probed(folder)]
    elif store.startswith("memory://"):
        findings += _held(store, store)
    else:
        findings += examined(store, partial(_held, store))
    return [*findings, _cache(), _configuration()]


def _configuration() -> Finding:
    """The user's configuration file, which every load reads."""
    path = configuration.path()
    try:
        patterns, classes = configuration.read(path)
    except SaverError as error:
        return Finding("problem", "configuration", "", path, str(error))
    if not os.path.lexists(path):
        return Finding("ok", "configuration", "", "none", f"it would be {path}")
    held = f"{counted(len(patterns), 'trusted pattern')}, {counted(len(classes), 'name')} of classes"
    return Finding("ok", "configuration", "", path, held)


def _software() -> Iterator[Finding]:
    known = [family.name for family in registry.families() if family.name not in _ALWAYS]
    here = environment_here(known)
    packages = here["packages"]
    yield Finding("ok", "saver", "", packages["saver"])
    yield Finding("ok", "python", "", f"{here['python']} ({here['implementation']})")
    yield Finding("ok", "platform", "", here["platform"])
    processor = f"{here.get('cpu', here['machine'])} x {here['cpus']}"
    yield Finding("ok", "processors", "", processor, here.get("vector", ""))
    for name in ("numpy", *known):
        yield Finding("ok", distribution(name), "", packages.get(name, "not installed"))


def _store(store: str) -> Iterator[Finding]:
    if not os.path.lexists(store):
        yield Finding("ok", "store", "", store, "does not exist yet; the first save creates it")
    elif not os.path.isdir(store):
        yield Finding("problem", "store", "", store, "is not a folder; name another one with --store DIR")
    else:
        yield from _held(store, store)


def _held(store: str, place: str | Storage) -> Iterator[Finding]:
    """What is in a store; `store` is its address."""
    try:
        found = Saver(place)
        held = counted(len(found.models()), "model") if found.exists() else "nothing has been saved in it yet"
    except (SaverError, OSError) as error:
        yield Finding("problem", "store", "", store, str(error))
        return
    yield Finding("ok", "store", "", store, held)


def _existing(folder: str) -> str:
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def _place(folder: str) -> Iterator[Finding]:
    kind = file_system(folder)
    if kind:
        meaning = ""
        if kind in MEMORY:
            meaning = "this is memory: nothing in it survives a reboot or a power loss"
        elif kind in REMOTE:
            meaning = "the bytes are on another machine: they are as safe as that machine keeps them"
        yield Finding("note" if meaning else "ok", "file system", "", kind, meaning)
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if free > _LITTLE:
        yield Finding("ok", "free space", "", size(free))
    else:
        meaning = "a save that does not fit fails and changes nothing; free some space, or run `saver gc`"
        yield Finding("warning", "free space", "", size(free), meaning)


_LITTLE = 1 << 30


def file_system(folder: str) -> str:
    """The type of the file system that holds a folder, as Linux names it; "" if it cannot be determined."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            lines = [line.split(" ") for line in file]
    except OSError:
        return ""
    # Fields as in proc(5): the mount point is the fifth; the type is the first after a single hyphen.
    mounts = {line[4].replace("\\040", " "): line[line.index("-") + 1] for line in lines if "-" in line}
    place = os.path.realpath(folder)
    while place not in mounts and os.path.dirname(place) != place:
        place = os.path.dirname(place)
    return mounts.get(place, "")


class _Probe(NamedTuple):
    """What a folder supports, and how long it took to make a small file durable."""

    direct: bool
    unnamed: bool
    links: bool
    milliseconds: float


def _probed(folder: str) -> Iterator[Finding]:
    try:
        found = probe(folder)
    except OSError as error:
        meaning = f"{error.strerror or error}: versions can be loaded, but nothing can be saved"
        yield Finding("warning", "writable", "", "no", meaning)
        return
    yield Finding("ok", "writable", "", "yes", f"a small file is on the disk in {found.milliseconds:.1f} ms")
    abilities: tuple[tuple[str, bool, Severity, str], ...] = (
        (
            "direct writes",
            found.direct,
            "note",
            "saves go through the page cache: as safe, but slower",
        ),
        (
            "unnamed files",
            found.unnamed,
            "note",
            "a killed save may leave a hidden .part file, nothing worse",
        ),
        ("hard links", found.links, "problem", "no version can be committed here: use another file system"),
    )
    for topic, there, otherwise, meaning in abilities:
        yield Finding("ok", topic, "", "yes") if there else Finding(otherwise, topic, "", "no", meaning)


def probe(folder: str, files: Files = FILES) -> _Probe:
    """Try what a store does in its folder, and remove every file that this creates.

    Raises OSError if nothing can be written.
    """
    names = [os.path.join(folder, f".saver-doctor.{os.urandom(6).hex()}.{n}.part") for n in range(2)]
    unnamed = _unnamed(folder, files)
    file = unnamed if unnamed is not None else files.create(names[0])
    try:
        start = time.perf_counter()
        files.write(file, memoryview(bytes(ALIGNMENT)), 0)
        files.sync(file)
        milliseconds = (time.perf_counter() - start) * 1000
        direct = _writes_directly(file, files)
        links = _links(file if unnamed is not None else names[0], names[1], files)
    finally:
        files.close(file)
        for name in names:
            if os.path.lexists(name):
                files.remove(name)
    return _Probe(direct, unnamed is not None, links, milliseconds)


def _unnamed(folder: str, files: Files) -> int | None:
    try:
        return files.create_unnamed(folder)
    except PermissionError:
        raise
    except OSError:
        return None


def _writes_directly(file: int, files: Files) -> bool:
    try:
        direct = files.open_direct(file)
    except OSError:
        return False
    try:
        with mmap.mmap(-1, ALIGNMENT) as page, memoryview(page) as aligned:
            return files.write(direct, aligned, 0) == ALIGNMENT
    except OSError:
        return False
    finally:
        files.close(direct)


def _links(source: str | int, path: str, files: Files) -> bool:
    try:
        files.link(source, path)
    except OSError:
        return False
    return True


def _cache() -> Finding:
    """The folder of the indexes that find equal tensors across models, and of what was fetched from buckets;
    it can be deleted at any time."""
    folder = cache_folder()
    there = _existing(folder)
    if not os.access(there, os.W_OK):
        meaning = "not writable: equal tensors are found only in the previous version; set SAVER_CACHE"
        return Finding("note", "cache", "", folder, meaning)
    try:
        cache = opened()
    except ValueError as error:
        return Finding("problem", "cache", "", folder, str(error))
    held = f"{size(cache.held())} of at most {size(cache.limit)} of packs from buckets (SAVER_CACHE_BYTES)"
    if cache.trouble:
        return Finding("warning", "cache", "", folder, cache.trouble)
    return Finding("ok", "cache", "", folder, f"{held}; it can be deleted at any time")
