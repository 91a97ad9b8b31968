"""A new file appears whole and on disk, or not at all; what was there before stays until then."""

from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.disk import files
from saver.disk.durable import NewFile
from saver.disk.files import Files
from saver.pack import PackWriter, write
from saver.tensors import TensorData

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="tests POSIX file systems")


@pytest.fixture(params=["unnamed", "named"])
def temporary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to be invisible: O_TMPFILE, and a hidden name where the system has no such thing."""
    if request.param == "named":
        monkeypatch.setattr(files, "_O_TMPFILE", 0)
    return str(request.param)


@pytest.fixture(params=["small", "ring"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to write: in one go, and through the ring."""
    if request.param == "ring":
        monkeypatch.setattr(write, "SMALL", 0)
    return str(request.param)


def array(value: float, count: int = 20_000) -> Any:
    return np.full(count, value)


def dump(tensors: dict[str, TensorData], path: Path) -> None:
    writer = PackWriter(tensors)
    with NewFile(str(path), writer.size) as file:
        writer.write(file)
        file.commit()


def test_a_new_file_appears_with_nothing_beside_it(tmp_path: Path, temporary: str, size: str) -> None:
    assert saver.dump(array(1), tmp_path / "a.saver") == os.path.getsize(tmp_path / "a.saver")
    assert os.listdir(tmp_path) == ["a.saver"]
    np.testing.assert_array_equal(saver.load(tmp_path / "a.saver"), array(1))


def test_an_old_file_is_replaced_as_a_whole(tmp_path: Path, temporary: str, size: str) -> None:
    path = tmp_path / "a.saver"
    saver.dump(array(1), path)
    before = saver.load(path)
    saver.dump(array(2, 10), path)
    assert saver.load(path)[0] == 2
    np.testing.assert_array_equal(before, array(1), "what was loaded before keeps its bytes")
    assert os.listdir(tmp_path) == ["a.saver"]


def test_data_is_synced_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, temporary: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def record(name: str, kind: Callable[..., str]) -> None:
        honest = getattr(os, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            calls.append(kind(*arguments))
            return honest(*arguments, **keywords)

        monkeypatch.setattr(os, name, call)

    def synced(descriptor: int) -> str:
        return "sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file"

    record("fsync", synced)
    record("pwrite", lambda descriptor, data, offset: "write header" if offset == 0 else "write data")
    record("replace", lambda *_: "name")
    saver.dump(array(1), tmp_path / "a.saver")
    assert list(dict.fromkeys(calls)) == ["write data", "write header", "sync file", "name", "sync folder"]
    assert calls[-3:] == ["sync file", "name", "sync folder"]


@pytest.mark.parametrize("failing", ["file", "folder"])
def test_a_failed_sync_of_the_data_changes_nothing_and_one_of_the_folder_is_reported(
    failing: str, tmp_path: Path, temporary: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.saver"
    saver.dump(array(1), path)
    honest = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (failing == "folder"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        honest(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(saver.CannotWriteError if failing == "file" else saver.CommitUnknownError):
        saver.dump(array(2), path)
    assert os.listdir(tmp_path) == ["a.saver"]
    assert saver.load(path)[0] == (1 if failing == "file" else 2)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_failed_write_changes_nothing(
    number: int, tmp_path: Path, temporary: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.saver"
    saver.dump(array(1), path)

    def pwrite(descriptor: int, data: Any, offset: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(saver.CannotWriteError, match="nothing was changed"):
        saver.dump(array(2), path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["a.saver"]
    assert saver.load(path)[0] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_a_source_that_fails_half_way_leaves_nothing(
    error: type[BaseException], tmp_path: Path, temporary: str, size: str
) -> None:
    path = tmp_path / "a.saver"
    saver.dump(array(1), path)

    def source() -> Iterator[Any]:
        yield np.zeros(1000, np.uint8)
        raise error

    with pytest.raises(error):
        dump({"t": TensorData("U8", (2000,), source)}, path)
    assert os.listdir(tmp_path) == ["a.saver"]
    assert saver.load(path)[0] == 1


@pytest.mark.parametrize("count", [999, 1001])
def test_a_source_of_another_size_leaves_nothing(
    count: int, tmp_path: Path, temporary: str, size: str
) -> None:
    data = TensorData("U8", (1000,), lambda: iter([np.zeros(count, np.uint8)]))
    with pytest.raises(AssertionError):
        dump({"t": data}, tmp_path / "a.saver")
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_saved_touches_no_file(tmp_path: Path) -> None:
    saver.dump([1], tmp_path / "a.saver")
    with pytest.raises(saver.CannotSaveError):
        saver.dump([1, lambda: 1], tmp_path / "a.saver")
    assert saver.load(tmp_path / "a.saver") == [1]
    assert os.listdir(tmp_path) == ["a.saver"]


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path, temporary: str) -> None:
    with pytest.raises(saver.CannotWriteError, match="create the folder"):
        saver.dump([1], tmp_path / "none" / "a.saver")


def test_a_folder_in_place_of_the_file_is_reported(tmp_path: Path, temporary: str) -> None:
    (tmp_path / "a.saver").mkdir()
    with pytest.raises(saver.CannotWriteError, match="it is a folder"):
        saver.dump([1], tmp_path / "a.saver")


def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path, temporary: str) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(saver.CannotWriteError):
        saver.dump([1], tmp_path / "a" / "b.saver")


def test_a_folder_that_refuses_is_reported(
    tmp_path: Path, temporary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system call says no: no mode of a folder would stop root, as whom tests may run."""
    honest = os.open

    def refuse(path: Any, flags: int, *more: Any, **keywords: Any) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return honest(path, flags, *more, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(saver.CannotWriteError, match="you may not write"):
        saver.dump([1], tmp_path / "a.saver")


def test_a_symbolic_link_is_followed(tmp_path: Path, temporary: str) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.saver"
    link.symlink_to(tmp_path / "real" / "a.saver")
    saver.dump([1], link)
    saver.dump([2], link)
    assert link.is_symlink()
    assert saver.load(tmp_path / "real" / "a.saver") == [2]
    assert os.listdir(tmp_path / "real") == ["a.saver"]


def test_the_mode_of_a_replaced_file_is_kept(tmp_path: Path, temporary: str) -> None:
    path = tmp_path / "a.saver"
    saver.dump([1], path)
    path.chmod(0o640)
    saver.dump([2], path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_a_new_file_heeds_the_umask(mask: int, tmp_path: Path, temporary: str) -> None:
    before = os.umask(mask)
    try:
        saver.dump([1], tmp_path / "a.saver")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.saver").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("name", ["ä" * 100, "x" * 250, "a b", ".hidden", "-", "a\nb"])
def test_any_file_name_will_do(name: str, tmp_path: Path, temporary: str) -> None:
    saver.dump([1], tmp_path / name)
    assert saver.load(tmp_path / name) == [1]
    assert os.listdir(tmp_path) == [name]


def test_a_relative_path_will_do(tmp_path: Path, temporary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saver.dump([1], "a.saver")
    assert saver.load("a.saver") == [1]


def test_without_direct_writes_the_bytes_are_the_same(
    tmp_path: Path, temporary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "SMALL", 0)
    monkeypatch.setattr(files, "_O_DIRECT", 0)
    saver.dump(array(1), tmp_path / "a.saver")
    np.testing.assert_array_equal(saver.load(tmp_path / "a.saver"), array(1))


def test_a_file_system_that_refuses_direct_writes_gets_others(
    tmp_path: Path, temporary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some take the flag and refuse the write: EINVAL."""
    monkeypatch.setattr(write, "SMALL", 0)
    fcntl = pytest.importorskip("fcntl")
    honest = os.pwrite

    def pwrite(descriptor: int, data: Any, offset: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & files._O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return honest(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    saver.dump(array(1, 100_001), tmp_path / "a.saver")
    np.testing.assert_array_equal(saver.load(tmp_path / "a.saver"), array(1, 100_001))


def test_short_writes_are_continued(
    tmp_path: Path, temporary: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: honest(fd, memoryview(data)[:5000], offset))
    saver.dump(array(3, 30_001), tmp_path / "a.saver")
    np.testing.assert_array_equal(saver.load(tmp_path / "a.saver"), array(3, 30_001))


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a tmpfs")
def test_a_file_system_in_memory_will_do(size: str) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "a.saver"
        saver.dump(array(1), path)
        saver.dump(array(2), path)
        np.testing.assert_array_equal(saver.load(path), array(2))
        assert os.listdir(folder) == ["a.saver"]


def test_a_name_that_is_taken_stays_with_who_has_it(tmp_path: Path, temporary: str) -> None:
    path = tmp_path / "a"
    for data, placed in ((b"first", True), (b"second", False)):
        with NewFile(str(path), len(data)) as file:
            file.write(data, 0)
            assert file.commit(replace=False) is placed
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("failing", ["link", "replace"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_error_that_came_too_late_is_seen_through(
    failing: str, number: int, tmp_path: Path, temporary: str
) -> None:
    """The file is in place, whatever the system says; as on a network, when the answer was lost."""

    class Late(Files):
        def link(self, source: str | int, path: str) -> None:
            super().link(source, path)
            if failing == "link" and path == str(tmp_path / "a"):
                raise OSError(number, os.strerror(number))

        def replace(self, source: str, path: str) -> None:
            super().replace(source, path)
            raise OSError(number, os.strerror(number))

    with NewFile(str(tmp_path / "a"), 1, Late()) as file:
        file.write(b"x", 0)
        assert file.commit(replace=failing == "replace") is True
    assert (tmp_path / "a").read_bytes() == b"x"
    assert os.listdir(tmp_path) == ["a"]


def test_where_it_cannot_be_known_the_commit_is_unknown(tmp_path: Path, temporary: str) -> None:
    class Mute(Files):
        def link(self, source: str | int, path: str) -> None:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    with NewFile(str(tmp_path / "a"), 1, Mute()) as file:
        file.write(b"x", 0)
        with pytest.raises(saver.CommitUnknownError, match="may still appear"):
            file.commit(replace=False)


def test_where_nothing_can_be_learned_the_commit_is_unknown(tmp_path: Path, temporary: str) -> None:
    """The name was taken, an error came, and then the disk does not even tell whether it was."""

    class Blind(Files):
        def link(self, source: str | int, path: str) -> None:
            super().link(source, path)
            if path == str(tmp_path / "a"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def stat(self, file: str | int) -> os.stat_result:
            if file == str(tmp_path / "a") and (tmp_path / "a").exists():
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().stat(file)

    with NewFile(str(tmp_path / "a"), 1, Blind()) as file:
        file.write(b"x", 0)
        with pytest.raises(saver.CommitUnknownError, match="could not be found out"):
            file.commit(replace=False)


def test_a_file_is_as_long_as_it_was_said_to_be(tmp_path: Path, temporary: str) -> None:
    with NewFile(str(tmp_path / "a"), 5) as file:
        file.write(b"0123456789", 0)
        file.commit()
    assert (tmp_path / "a").read_bytes() == b"01234"


def limited(program: str, *arguments: str) -> None:
    """Run a program in a process of its own; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_file_beyond_the_limit_leaves_the_old_one(unnamed: bool, tmp_path: Path) -> None:
    """A real refusal of the system, in the midst of the data: EFBIG."""
    path = tmp_path / "a.saver"
    saver.dump([1], path)
    program = f"""
import resource, signal, sys, numpy, saver
from saver.disk import files
if not {unnamed}: files._O_TMPFILE = 0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    saver.dump(numpy.ones(1 << 20), sys.argv[1])
except saver.CannotWriteError as error:
    assert "nothing was changed" in str(error)
else:
    sys.exit("it should not fit")
"""
    limited(program, str(path))
    assert saver.load(path) == [1]
    assert os.listdir(tmp_path) == ["a.saver"]


def _mounted(folder: Path, size: str) -> bool:
    """Whether a small file system of its own could be mounted there: root may."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    command = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, temporary: str, size: str) -> None:
    """On a real full disk where one can be mounted; otherwise the system is asked to say that it is full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    path = disk / "a.saver"
    mounted = _mounted(disk, "2m")
    try:
        saver.dump(array(1, 1000), path)
        with pytest.MonkeyPatch.context() as patch:
            if not mounted:
                patch.setattr(os, "posix_fallocate", _full)
            with pytest.raises(saver.CannotWriteError, match="free some"):
                saver.dump(array(2, 1 << 20), path)
        assert os.listdir(disk) == ["a.saver"]
        assert saver.load(path)[0] == 1
    finally:
        if mounted:
            subprocess.run(("umount", "-l", str(disk)), check=True)


def _full(descriptor: int, offset: int, length: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path, temporary: str) -> None:
    path = tmp_path / "a.saver"
    saver.dump({"number": 0, "data": array(0)}, path)
    done = threading.Event()
    seen: list[int] = []
    wrong: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                found = saver.load(path)
                assert (found["data"] == found["number"]).all()
                seen.append(found["number"])
        except BaseException as error:
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 40):
        saver.dump({"number": number, "data": array(number)}, path)
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(set(seen)) > 1


DUMPING = """
import sys, numpy, saver
from saver.pack import write
write.SMALL = 1 << 16
if sys.argv[2] == "named":
    from saver.disk import files
    files._O_TMPFILE = 0
data = {n: numpy.full(400_000, n) for n in range(10)}
print("ready", flush=True)
while True:
    for number in range(10):
        saver.dump({"number": number, "data": data[number]}, sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("unnamed", 20), ("named", 5)])
def test_a_killed_save_leaves_the_old_file_or_the_new_one(kind: str, kills: int, tmp_path: Path) -> None:
    path = tmp_path / "a.saver"
    saver.dump({"number": 0, "data": array(0)}, path)
    chance = random.Random(7)
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", DUMPING, str(path), kind], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = saver.load(path)
        assert (found["data"] == found["number"]).all()
        left = [name for name in os.listdir(tmp_path) if name != "a.saver"]
        if kind == "unnamed":
            assert _finished_only(tmp_path, left)
        for name in left:
            os.unlink(tmp_path / name)


def _finished_only(folder: Path, left: list[str]) -> bool:
    """Killed between its two names, a finished save may leave its whole file under the first one."""
    for name in left:
        saver.load(folder / name)
    return True
