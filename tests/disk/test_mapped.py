"""Opening a file: what it is, or why it cannot be read."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from descriptors import open_files as descriptors
from saver.disk import mapped
from saver.disk.files import Files
from saver.disk.mapped import open_file
from saver.errors import CannotReadError, DamagedError, IncompatibleError, NotFoundError, SaverError


def test_a_file_is_read_and_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    blob = open_file(str(path))
    assert (blob.name, blob.size) == (str(path), 10)
    assert blob.read() == b"0123456789"
    assert blob.read(3, 5) == b"34"
    assert blob.read(8, 100) == b"89"
    assert blob.map().tobytes() == b"0123456789"
    assert blob.map() is blob.map()


class Counted(Files):
    """Counts the calls that read."""

    def __init__(self) -> None:
        self.calls = 0

    def read(self, file: int, size: int, offset: int) -> bytes:
        self.calls += 1
        return super().read(file, size, offset)

    def read_into(self, file: int, buffer: memoryview, offset: int, wait: bool = True) -> int:
        self.calls += 1
        return super().read_into(file, buffer, offset, wait)


@pytest.mark.parametrize(("size", "calls"), [(1, 1), (mapped.SHORT, 1), (mapped.SHORT + 1, 3)])
def test_a_short_file_is_read_once_whatever_is_read_of_it(tmp_path: Path, size: int, calls: int) -> None:
    path, files, data = tmp_path / "a", Counted(), os.urandom(size)
    path.write_bytes(data)
    blob = open_file(str(path), files=files)
    assert (blob.read(0, 8), blob.read(4, size + 100)) == (data[:8], data[4:])
    assert blob.near(0, size)
    assert blob.map().tobytes() == data
    assert files.calls == calls


@pytest.mark.parametrize("size", [1000, mapped.SHORT + 1, mapped.SMALL + 1])
def test_what_is_written_to_the_map_is_not_read_from_the_file(tmp_path: Path, size: int) -> None:
    path, data = tmp_path / "a", os.urandom(size)
    path.write_bytes(data)
    blob = open_file(str(path))
    first = blob.read()
    blob.fetch(0, size, memoryview(bytearray(size)))
    blob.map()[:] = 0
    assert first == blob.read() == data == path.read_bytes()


def test_of_a_short_file_that_is_cut_off_while_it_is_read_the_rest_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(1000))
    blob = open_file(str(path))
    os.truncate(path, 600)
    assert (blob.read(0, 8), len(blob.read(0, 1000)), blob.read(700, 800)) == (bytes(8), 600, b"")
    with pytest.raises(DamagedError, match="cut off"):
        blob.fetch(0, 1000, memoryview(bytearray(1000)))


def test_an_empty_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    blob = open_file(str(tmp_path / "a"))
    assert blob.read() == b""
    assert blob.map().size == 0


class Broken(Files):
    """Cannot say what is in the page cache, and cannot read one byte."""

    def __init__(self, lost: int) -> None:
        self._lost = lost

    def read_into(self, file: int, buffer: memoryview, offset: int, wait: bool = True) -> int:
        if not wait:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        if offset <= self._lost < offset + len(buffer):
            raise OSError(errno.EIO, "Input/output error")
        return super().read_into(file, buffer, offset)


def test_a_small_file_is_copied_where_nobody_knows_what_is_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "_mmap", None)
    monkeypatch.setattr(mapped, "can_map", lambda: True)
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    blob = open_file(str(path), files=Broken(lost=10))
    assert not blob.near(2, 5)
    blob.fetch(2, 5, memoryview(bytearray(3)))
    path.write_bytes(b"")
    assert blob.map().tobytes() == b"0123456789"


@pytest.mark.parametrize("lost", range(10))
def test_of_a_small_file_that_is_lost_in_part_the_rest_is_read(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    blob, scratch = open_file(str(path), files=Broken(lost)), memoryview(bytearray(1))
    for at in range(10):
        if at == lost:
            with pytest.raises(DamagedError, match="the disk cannot read it"):
                blob.fetch(at, at + 1, scratch)
        else:
            blob.fetch(at, at + 1, scratch)
    assert blob.map().tobytes() == b"0123456789"


def test_it_is_called_as_one_says(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="the model: there is no such file"):
        open_file(str(tmp_path / "a"), "the model")


def test_what_is_not_a_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="is a folder"):
        open_file(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IncompatibleError, match="is a pipe or a device"):
        open_file(str(tmp_path / "pipe"))
    with pytest.raises(IncompatibleError, match="is a pipe or a device"):
        open_file("/dev/null")
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s")
        with pytest.raises(IncompatibleError, match="is a pipe or a device"):
            open_file(f"{folder}/s")


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [(errno.EACCES, CannotReadError, "ask its owner, user "), (errno.EPERM, CannotReadError, "ask its owner"),
     (errno.EIO, DamagedError, "check the disk"), (errno.EMFILE, CannotReadError, "Too many open files"),
     (errno.ENOENT, NotFoundError, "no such file"), (errno.ENOTDIR, NotFoundError, "no such file"),
     (errno.ESTALE, NotFoundError, "no such file"), (errno.ENAMETOOLONG, CannotReadError, "too long")],
)  # fmt: skip
def test_what_cannot_be_opened_is_reported(
    number: int, kind: type[SaverError], message: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"x")

    class Refusing(Files):
        def open(self, path: str) -> int:
            raise OSError(number, os.strerror(number))

    with pytest.raises(kind, match=message):
        open_file(str(tmp_path / "a"), files=Refusing())


def test_reads_that_give_little_are_continued(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)))

    class Slow(Files):
        def read(self, file: int, size: int, offset: int) -> bytes:
            return super().read(file, min(size, 7), offset)

        def read_into(self, file: int, buffer: memoryview, offset: int, wait: bool = True) -> int:
            return super().read_into(file, buffer[:7], offset, wait)

    blob = open_file(str(tmp_path / "a"), files=Slow())
    assert blob.read(5, 200) == bytes(range(5, 200))
    blob.fetch(5, 200, memoryview(bytearray(195)))


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5000)
    found: Any = [open_file(str(tmp_path / "a")) for _ in range(10)]
    arrays = [blob.map() for blob in found]
    del found
    del arrays
    for ask in (str(tmp_path), "/dev/null"):
        with pytest.raises(IncompatibleError):
            open_file(ask)
    assert not descriptors(tmp_path)
