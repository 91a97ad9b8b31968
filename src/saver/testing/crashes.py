"""What a disk may contain after a crash: every state that the recorded operations allow, one by one.

The model is the minimum of POSIX. Bytes that were written to a file since its last sync may be there, or
missing, or zeros, or there in part. A name that was added, moved or removed in a folder since its last sync
may be as it is, or as it was. Each is independent of all others: real file systems guarantee more, and none
guarantees less. Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), found such states in
real ones.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from saver.testing.faults import Operation

_OUTSIDE = ".."
FOLDER = -1
"""Stands for a folder, in place of the number of a file."""

File: TypeAlias = int


class CrashState(NamedTuple):
    """A folder as it may be after a crash that came when `done` of the operations had taken place.

    `what` says which state it is. The folder exists until the next state is requested.
    """

    folder: Path
    done: int
    what: str


class _Change(NamedTuple):
    """Names in one folder that change at once: `names` gives the new file of each, None for no file."""

    folder: str
    names: tuple[tuple[str, File | None], ...]


Contents: TypeAlias = Callable[[File], bytes]


class _Disk:
    """What is durable, and what may become durable."""

    def __init__(self, before: Path, folder: Path) -> None:
        self._root = str(folder)
        self.names: dict[str, File] = {}
        self.changes: list[_Change] = []
        self.durable: dict[File, bytes] = {}
        self.pending: dict[File, list[Operation]] = {}
        for number, path in enumerate(sorted(before.rglob("*"))):
            held = path.relative_to(before).as_posix()
            file = FOLDER if path.is_dir() else FOLDER - 1 - number
            self.names[held] = file
            if file != FOLDER:
                self.durable[file] = path.read_bytes()

    def apply(self, operation: Operation) -> None:
        """Apply one more operation."""
        match operation.name:
            case "make_folder":
                self._change(operation.path, FOLDER)
            case "create":
                self.durable[operation.file] = b""
                self._change(operation.path, operation.file)
            case "create_unnamed":
                self.durable[operation.file] = b""
            case "write" | "truncate" | "reserve":
                self.pending.setdefault(operation.file, []).append(operation)
            case "sync":
                self.durable[operation.file] = self.kept(operation.file)
                self.pending.pop(operation.file, None)
            case "link":
                self._change(operation.path, self._file(operation))
            case "replace":
                file = self._file(operation)
                folder, source = self._split(operation.source)
                _, name = self._split(operation.path)
                self.changes.append(_Change(folder, ((source, None), (name, file))))
            case "remove" | "remove_folder":
                self._change(operation.path, None)
            case "sync_folder":
                folder = self._inner(operation.path)
                self.names = self._with([change for change in self.changes if change.folder == folder])
                self.changes = [change for change in self.changes if change.folder != folder]
            case other:
                raise AssertionError(f"unknown operation: {other}")

    def _file(self, operation: Operation) -> File:
        if operation.source:
            return self._with(self.changes)[self._inner(operation.source)]
        return operation.file

    def _change(self, path: str, file: File | None) -> None:
        folder, name = self._split(path)
        if name and folder != _OUTSIDE:
            self.changes.append(_Change(folder, ((name, file),)))

    def _split(self, path: str) -> tuple[str, str]:
        folder, _, name = self._inner(path).rpartition("/")
        return folder, name

    def _inner(self, path: str) -> str:
        """The path within the folder; "" for the folder itself."""
        if not f"{path}/".startswith(f"{self._root}/"):
            return f"{_OUTSIDE}/{os.path.basename(path)}"
        return path[len(self._root) + 1 :]

    def _with(self, changes: Sequence[_Change]) -> dict[str, File]:
        names = dict(self.names)
        for change in changes:
            for name, file in change.names:
                path = f"{change.folder}/{name}" if change.folder else name
                if file is None:
                    names.pop(path, None)
                else:
                    names[path] = file
        return names

    def kept(self, file: File) -> bytes:
        """Everything that was written."""
        return _written(self.durable[file], self.pending.get(file, ()))

    def zeroed(self, file: File) -> bytes:
        """The current length, with zeros for what was not synced."""
        return _written(
            self.durable[file],
            [_zeros(each) if each.name == "write" else each for each in self.pending.get(file, ())],
        )

    def torn(self, file: File) -> bytes:
        """The first half of what was not synced."""
        pending = self.pending.get(file, ())
        half = list(pending[: len(pending) // 2])
        if pending and pending[len(half)].name == "write":
            cut = pending[len(half)]
            half.append(Operation("write", file=file, offset=cut.offset, data=cut.data[: len(cut.data) // 2]))
        return _written(self.durable[file], half)

    def lost(self, file: File) -> bytes:
        """What was synced."""
        return self.durable[file]

    def states(self, power: bool) -> Iterator[tuple[str, Mapping[str, bytes | None]]]:
        """What may remain if the process is killed now and, with `power`, after a power loss."""
        every, none = self._with(self.changes), self.names
        yield "the process is killed", self._held(every, self.kept)
        if not power:
            return
        yield "everything that was not synced is lost", self._held(none, self.lost)
        yield "unsynced names are lost", self._held(none, self.kept)
        for what, contents in (("lost", self.lost), ("zeros", self.zeroed), ("torn", self.torn)):
            yield f"unsynced data is {what}", self._held(every, contents)
        for number, change in enumerate(self.changes):
            others = self._with([*self.changes[:number], *self.changes[number + 1 :]])
            yield f"a change of names is lost: {_described(change)}", self._held(others, self.kept)
            alone = self._with([change])
            yield f"only one change of names is kept: {_described(change)}", self._held(alone, self.kept)
        for file in self.pending:
            yield f"the unsynced data of file {file} is lost", self._held(every, self._but(file))

    def _but(self, lost: File) -> Contents:
        return lambda file: self.durable[file] if file == lost else self.kept(file)

    def _held(self, names: Mapping[str, File], contents: Contents) -> Mapping[str, bytes | None]:
        """By path, everything that can be reached: the content of every file, None for folders."""
        held: dict[str, bytes | None] = {}
        for path in sorted(names):
            above = path.rpartition("/")[0]
            if not above or above in held:
                held[path] = None if names[path] == FOLDER else contents(names[path])
        return held


def _written(content: bytes, operations: Sequence[Operation]) -> bytes:
    data = bytearray(content)
    for operation in operations:
        end = operation.offset + len(operation.data)
        if operation.name == "truncate":
            del data[end:]
        data.extend(bytes(max(0, end - len(data))))
        if operation.name == "write":
            data[operation.offset : end] = operation.data
    return bytes(data)


def _zeros(operation: Operation) -> Operation:
    return Operation("write", file=operation.file, offset=operation.offset, data=bytes(len(operation.data)))


def _described(change: _Change) -> str:
    names = (f"{name} is {'gone' if file is None else 'there'}" for name, file in change.names)
    return f"in {change.folder or 'the folder'}, " + " and ".join(names)


def crash_states(
    before: Path,
    folder: Path,
    operations: Sequence[Operation],
    scratch: Path,
    power: bool = True,
    stride: int = 1,
) -> Iterator[CrashState]:
    """Every state in which `folder` may be after a crash during `operations` below it.

    When they began it was like the folder `before` (or empty), and all of that was durable. A `FaultyFiles`
    recorded the operations. The states are created in `scratch`: those of a killed process and, unless
    `power` is False, those of a power loss. With `stride`, only every `stride`-th is created.

        files = FaultyFiles()
        store = LocalStorage(tmp_path / "disk" / "models", files)
        store.create("log/1", b"x")
        acknowledged = len(files.operations)
        for state in crash_states(empty, tmp_path / "disk", files.operations, tmp_path / "state"):
            found = list(LocalStorage(state.folder / "models").keys(""))
            assert found == ["log/1"] or (state.done < acknowledged and found == []), state.what
    """
    disk, number = _Disk(before, folder.resolve()), 0
    for done in range(len(operations) + 1):
        after = "before anything was done"
        if done:
            disk.apply(operations[done - 1])
            after = f"after {operations[done - 1].name} {os.path.basename(operations[done - 1].path)}".strip()
        distinct: list[Mapping[str, bytes | None]] = []
        for what, held in disk.states(power):
            if held not in distinct:
                distinct.append(held)
                number += 1
                if number % stride:
                    continue
                yield CrashState(_made(held, scratch), done, f"{after} ({done}): {what}")


def _made(held: Mapping[str, bytes | None], folder: Path) -> Path:
    """A folder with these files in it, and nothing else."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    for path, content in held.items():
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
    return folder
