"""File systems that fail on demand, and processes that die."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from threading import Lock
from typing import TypeVar

import msgspec

from saver.disk.files import FILES, Files, Inside, Path

T = TypeVar("T")


class Crash(BaseException):
    """The process is dead: from now on, nothing that it does has any effect."""


class Faults:
    """Counts calls, and makes one of them fail.

    `calls` lists the calls. `struck` says whether the fault took place. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.struck = False
        self._at = 0
        self._error: BaseException = Crash()
        self._after = False
        self._dead = False
        self._lock = Lock()

    def fail(self, at: int, error: BaseException, after: bool = False) -> None:
        """Raise `error` at call number `at` (the next call is 1): instead of it, or `after` it.

        After a Crash, calls have no effect.
        """
        self._at, self._error, self._after = len(self.calls) + at, error, after

    def crash(self, at: int, after: bool = False) -> None:
        """Die at call number `at` (the next call is 1): before it has done anything, or `after` it."""
        self.fail(at, Crash(), after)

    def _run(self, what: str, action: Callable[[], T], forget: Callable[[T], object] | None = None) -> T:
        """What the action returns; `forget` releases that if the caller will not get it."""
        with self._lock:
            strikes = self._count(what) == self._at
            if strikes:
                self.struck = True
                self._dead = isinstance(self._error, Crash)
        if strikes and not self._after:
            raise self._error
        result = action()
        if strikes:
            if forget is not None:
                forget(result)
            raise self._error
        return result

    def _count(self, what: str) -> int:
        """Count a call that is about to be made; returns its number. Raises Crash if the process is dead."""
        if self._dead:
            raise Crash
        self.calls.append(what)
        return len(self.calls)


class Operation(msgspec.Struct, frozen=True):
    """A change to the file system. `file` numbers the files in the order in which they were created."""

    name: str
    path: str = ""
    source: str = ""
    file: int = -1
    offset: int = 0
    data: bytes = b""


class FaultyFiles(Files, Faults):
    """A file system that counts calls, and fails on demand.

        files = FaultyFiles()
        files.fail(3, errno.ENOSPC)      # or files.crash(3)
        LocalStorage(folder, files).put(...)

    `operations` are the changes that took place, in order, for `crash_states`. Reads count, too; closing
    does not. An `error` may be a number of the module errno. `every_file_fault` makes every call fail in
    turn.
    """

    def __init__(self, files: Files = FILES) -> None:
        Faults.__init__(self)
        self.operations: list[Operation] = []
        self._files = files
        self._numbers: dict[int, int] = {}
        self._folders: dict[int, str] = {}
        self._made = 0
        self._shortens = 0

    def fail(self, at: int, error: BaseException | int, after: bool = False) -> None:
        super().fail(at, OSError(error, os.strerror(error)) if isinstance(error, int) else error, after)

    def shorten(self, at: int) -> None:
        """Let call number `at`, if it reads, return half of the bytes that it could: systems may do that,
        and it is not an error."""
        self._shortens = len(self.calls) + at

    def _wanted(self, size: int) -> int:
        """How many bytes to request from the system for a read of `size`: at least one, since no bytes
        would mean the end of the file."""
        if len(self.calls) != self._shortens:
            return size
        self.struck = True
        return max(1, size // 2)

    def _do(
        self, operation: Operation, action: Callable[[], T], forget: Callable[[T], object] | None = None
    ) -> T:
        def act() -> T:
            result = action()
            self.operations.append(operation)
            return result

        return self._run(f"{operation.name} {operation.path}".strip(), act, forget)

    def open_folder(self, path: Path) -> int:
        where = self._real(path)
        folder = self._run(f"open_folder {where}", lambda: self._files.open_folder(path), self.close)
        self._folders[folder] = os.path.realpath(where)
        return folder

    def make_folder(self, path: Path) -> None:
        self._do(Operation("make_folder", self._real(path)), lambda: self._files.make_folder(path))

    def remove_folder(self, path: Path) -> None:
        self._do(Operation("remove_folder", self._real(path)), lambda: self._files.remove_folder(path))

    def open_existing(self, path: Path) -> int:
        return self._run(
            f"open_existing {self._real(path)}", lambda: self._files.open_existing(path), self.close
        )

    def lock(self, file: int) -> bool:
        return self._run("lock", lambda: self._files.lock(file))

    def create(self, path: Path) -> int:
        return self._made_file("create", path, self._files.create)

    def create_unnamed(self, folder: Path) -> int:
        return self._made_file("create_unnamed", folder, self._files.create_unnamed)

    def _made_file(self, name: str, path: Path, action: Callable[[Path], int]) -> int:
        number = self._made
        self._made += 1

        def make() -> int:
            file = action(path)
            self._numbers[file] = number
            return file

        return self._do(Operation(name, self._real(path), file=number), make, self.close)

    def open_direct(self, file: int) -> int:
        direct = self._run("open_direct", lambda: self._files.open_direct(file), self.close)
        self._numbers[direct] = self._numbers[file]
        return direct

    def reserve(self, file: int, size: int) -> None:
        self._do(self._on(file, "reserve", size), lambda: self._files.reserve(file, size))

    def write(self, file: int, data: memoryview, offset: int) -> int:
        def act() -> int:
            written = self._files.write(file, data, offset)
            if file in self._numbers:
                self.operations.append(self._on(file, "write", offset, bytes(data[:written])))
            return written

        return self._run("write", act)

    def truncate(self, file: int, size: int) -> None:
        self._do(self._on(file, "truncate", size), lambda: self._files.truncate(file, size))

    def set_mode(self, file: int, mode: int) -> None:
        self._run("set_mode", lambda: self._files.set_mode(file, mode))

    def sync(self, file: int) -> None:
        self._do(self._on(file, "sync"), lambda: self._files.sync(file))

    def close(self, file: int) -> None:
        self._numbers.pop(file, None)
        self._folders.pop(file, None)
        self._files.close(file)

    def link(self, source: Path | int, path: Path) -> None:
        if isinstance(source, int):
            operation = Operation("link", self._real(path), file=self._numbers[source])
        else:
            operation = Operation("link", self._real(path), self._real(source))
        self._do(operation, lambda: self._files.link(source, path))

    def replace(self, source: Path, path: Path) -> None:
        operation = Operation("replace", self._real(path), self._real(source))
        self._do(operation, lambda: self._files.replace(source, path))

    def hold(self, path: Path) -> int:
        return self._run(f"hold {self._real(path)}", lambda: self._files.hold(path), self.close)

    def remove(self, path: Path) -> None:
        self._do(Operation("remove", self._real(path)), lambda: self._files.remove(path))

    def sync_folder(self, path: Path) -> None:
        where = os.path.realpath(self._real(path))
        self._do(Operation("sync_folder", where), lambda: self._files.sync_folder(path))

    def open(self, path: Path) -> int:
        return self._run(f"open {self._real(path)}", lambda: self._files.open(path), self.close)

    def read(self, file: int, size: int, offset: int) -> bytes:
        return self._run("read", lambda: self._files.read(file, self._wanted(size), offset))

    def read_into(self, file: int, buffer: memoryview, offset: int, wait: bool = True) -> int:
        def act() -> int:
            return self._files.read_into(file, buffer[: self._wanted(len(buffer))], offset, wait)

        return self._run("read_into", act)

    def list(self, folder: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        return self._run(
            f"list {self._real(folder)}",
            lambda: self._files.list(folder),
            lambda found: found.__exit__(None, None, None),
        )

    def stat(self, file: Path | int) -> os.stat_result:
        return self._run("stat", lambda: self._files.stat(file))

    def _on(self, file: int, name: str, offset: int = 0, data: bytes = b"") -> Operation:
        return Operation(name, file=self._numbers[file], offset=offset, data=data)

    def _real(self, path: Path) -> str:
        """The path with the real path of its folder; the last name itself may be a link."""
        if isinstance(path, Inside):
            folder = self._folders[path.folder]
            return folder if path.name == "." else os.path.join(folder, path.name)
        folder, name = os.path.split(path)
        return os.path.join(os.path.realpath(folder), name)
