"""Packs in the memory of this host, where they outlive the processes that wrote them."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.caching.private import entered, existing, filled, freed, listed, made, written
from saver.disk.durable import reserve
from saver.disk.files import FILES, Files, Inside
from saver.logger import logger
from saver.storage import ALIGNMENT

VARIABLE = "SAVER_PEER_MEMORY"

SHARED = "/dev/shm"
"""Where Linux has files that are in memory alone."""

STALE = 86400.0
"""Seconds after which what a run has left, and nobody has used, is removed by the next one."""

PATIENCE = 5.0
"""Seconds to wait for another process that makes room."""

_PART = ".part"
"""What the names of packs end with that are being written."""

_NAME = re.compile(r"[0-9a-f]{32}(\.part)?")
_PACK = _RUN = re.compile(r"[0-9a-f]{32}")


def memory_of(store: str, model: str, limit: int) -> HostMemory:
    """The memory of this host for a run of `model` in the store at this address: at most `limit` bytes.
    Raises ValueError if the system has none."""
    place = os.environ.get(VARIABLE, "")
    if not place:
        if not os.path.isdir(SHARED) or not hasattr(os, "getuid"):
            raise ValueError(
                f"peer_memory: this system has no memory for files ({SHARED}); leave it out, or let "
                f"{VARIABLE} name a folder that is in memory"
            )
        place = os.path.join(SHARED, f"saver-{os.getuid()}")
    run = blake3(f"{store}/{model}".encode(errors="surrogatepass")).hexdigest(16)
    return HostMemory(os.path.abspath(place), run, limit)


class HostMemory:
    """At most `limit` bytes of packs of one run, in a folder that only this user may enter, in a file system
    that is in memory. All processes of the host that have the run share it. A pack is there whole, or not at
    all; if there is no room, those that were written longest ago go.

    Nothing here is needed, and nothing is trusted. If the system refuses something, `trouble` says it, and
    the pack is not kept.
    """

    def __init__(self, place: str, run: str, limit: int, files: Files = FILES) -> None:
        self.place, self.folder, self.limit = place, os.path.join(place, run), limit
        self.trouble = ""
        self._files = files

    def open(self) -> str:
        """Make the folder. Returns what names this memory: the same text in all processes that share it, and
        another one everywhere else. Removes what other runs left here long ago."""
        with self._trying(), self._entered(make=True) as folder:
            found = self._files.stat(Inside(folder, "."))
            self._remove_stale()
            where = f"{platform.node()}/{_boot()}/{found.st_dev}/{found.st_ino}"
            return blake3(where.encode(errors="surrogatepass")).hexdigest(16)
        return os.urandom(16).hex()  # shared with nobody

    def _remove_stale(self) -> None:
        for entry in [*os.scandir(self.place)]:
            if _RUN.fullmatch(entry.name) and entry.path != self.folder:
                try:
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE:
                        shutil.rmtree(entry.path)
                except FileNotFoundError:  # another process was faster
                    pass
                except OSError as error:
                    logger.warning(
                        "%s: what another run left in memory long ago cannot be removed (%s); remove it",
                        entry.path, error.strerror or error,
                    )  # fmt: skip

    def clear(self) -> None:
        """Remove all of it: the run is over."""
        with self._trying():
            with self._entered():
                pass
            shutil.rmtree(self.folder)

    # What is here

    def packs(self) -> list[str]:
        """The packs that are here."""
        with self._trying(), self._entered() as folder:
            return sorted(name for name, _ in listed(self._files, folder, _NAME) if not name.endswith(_PART))
        return []

    def size(self, name: str) -> int:
        """How many bytes a pack has; 0 if it is not here."""
        with self._trying(), self._entered() as folder:
            return self._files.stat(Inside(folder, name)).st_size
        return 0

    def held(self) -> int:
        """How many bytes are taken."""
        with self._trying(), self._entered() as folder:
            return sum(stat.st_size for _, stat in listed(self._files, folder, _NAME))
        return 0

    def read(self, name: str, start: int, memory: memoryview) -> NDArray[np.bool_]:
        """Fill memory with the pages of a pack from `start`, where a page begins; says of each whether it was
        here: all of them, or none."""
        there = np.zeros(-(-len(memory) // ALIGNMENT), np.bool_)
        with self._trying(), self._entered() as folder:
            file = self._files.open(Inside(folder, name))
            try:
                there[:] = filled(self._files, file, start, memory)
            finally:
                self._files.close(file)
        return there

    def write(self, name: str, start: int, data: memoryview) -> None:
        """Correct the bytes of a pack that is here."""
        with self._trying(), self._entered() as folder:
            file = existing(self._files, Inside(folder, name))
            try:
                if start + len(data) <= self._files.stat(file).st_size:
                    written(self._files, file, start, data)
            finally:
                self._files.close(file)

    # New packs

    def begin(self, name: str, size: int) -> Room | None:
        """Room for a pack of at most `size` bytes; None if it cannot be kept."""
        if not _PACK.fullmatch(name):
            return None
        if size > self.limit:
            self._complain(f"a pack has {size:,} bytes, and {self.limit:,} are to be kept")
            return None
        with self._trying(), self._alone() as folder:
            self._make_room(folder, size)
            place = Inside(folder, name + _PART)
            with suppress(FileNotFoundError):  # what a process left that was killed
                self._files.remove(place)
            file = self._files.create(place)
            try:
                self._files.truncate(file, size)
                reserve(self._files, file, size)
            except OSError:
                self._files.remove(place)
                self._files.close(file)
                raise
            return Room(self, name, file)
        return None

    @contextmanager
    def _entered(self, make: bool = False) -> Iterator[int]:
        """The folder, which nobody else may enter. Raises OSError."""
        with (
            entered(self._files, self.place, make),
            entered(self._files, self.folder, make) as folder,
        ):
            yield folder

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """The folder, while no other process makes room in it."""
        with self._entered(make=True) as folder:
            lock = made(self._files, Inside(folder, "lock"))
            try:
                until = time.monotonic() + PATIENCE
                while not self._files.lock(lock):
                    if time.monotonic() > until:
                        raise OSError(errno.EBUSY, "another process holds it for too long")
                    time.sleep(0.001)
                yield folder
            finally:
                self._files.close(lock)

    def _make_room(self, folder: int, size: int) -> None:
        found = [(stat.st_mtime, name, stat.st_size) for name, stat in listed(self._files, folder, _NAME)]
        freed(self._files, folder, found, self.limit - size)

    def drop(self, names: Iterable[str]) -> None:
        """These packs are not needed."""
        with self._trying(), self._entered() as folder:
            for name in names:
                self._remove(folder, name)

    def _remove(self, folder: int, name: str) -> None:
        with suppress(FileNotFoundError):  # another process was faster
            self._files.remove(Inside(folder, name))

    @contextmanager
    def _trying(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:  # nothing was kept, or it was removed in this moment
            pass
        except OSError as error:
            self._complain(error.strerror or str(error))

    def _complain(self, why: str) -> None:
        if not self.trouble:
            self.trouble = (
                f"{self.folder}: not all that this run saves is kept in memory ({why}), so `resume` may read "
                f"it from the store; pass another peer_memory, or let {VARIABLE} name another folder"
            )
            logger.warning("%s", self.trouble)


class Room:
    """A pack that is being written. It is there once `finish` is called; several threads may `write`."""

    def __init__(self, memory: HostMemory, name: str, file: int) -> None:
        self._memory, self._files, self._name, self._file = memory, memory._files, name, file
        self._lock = threading.Lock()
        self._writing = 0
        self._failed = self._is_over = False

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write bytes at an offset; none once the pack is there, or was given up."""
        with self._lock:
            if self._failed or self._is_over:
                return
            self._writing += 1
        try:
            written(self._files, self._file, offset, memoryview(data))
        except OSError as error:
            self._failed = True
            self._memory._complain(error.strerror or str(error))
        finally:
            with self._lock:
                self._writing -= 1
                self._close_once_unused()

    def finish(self, size: int) -> bool:
        """The pack has this size, and is whole. Returns whether it is kept."""
        kept = False
        if not self._failed:
            with self._memory._trying(), self._memory._entered() as folder:
                self._files.truncate(self._file, size)
                self._files.replace(Inside(folder, self._name + _PART), Inside(folder, self._name))
                kept = True
        self._end(kept)
        return kept

    def give_up(self) -> None:
        """There will be no such pack."""
        self._end(False)

    def _end(self, kept: bool) -> None:
        if not kept:
            self._memory.drop([self._name + _PART])
        with self._lock:
            self._is_over = True
            self._close_once_unused()

    def _close_once_unused(self) -> None:
        """A thread that still writes would write into whatever file has its number next."""
        if self._is_over and not self._writing:
            self._files.close(self._file)


def _boot() -> str:
    """What the system is called since it was started; empty where that is unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
