"""The cache of packs: it saves time, and nothing that is done to it changes what is loaded."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver.caching import Cache, cache_folder, folder, kept, opened
from saver.caching.blob import CachedBlob
from saver.caching.private import freed
from saver.disk.files import Files
from saver.pack import Range, damaged
from saver.storage import Blob
from saver.storages.latency import LatencyStorage
from saver.storages.memory import MemoryBlob, MemoryStorage
from saver.testing.faults import Crash, FaultyFiles

PAGE = 4096


class Far(MemoryStorage):
    """A storage of which each read of an object counts, but for its first bytes."""

    def __init__(self) -> None:
        super().__init__("far")
        self.reads: list[str] = []

    def open(self, key: str) -> Blob:
        blob = super().open(key)
        return FarBlob(key, blob.read(), self.reads)

    def replace(self, key: str, data: bytes) -> None:
        self.delete(key)
        self.create(key, data)


class FarBlob(MemoryBlob):
    fetchers = 4

    def __init__(self, name: str, data: bytes, reads: list[str]) -> None:
        super().__init__(name, data)
        self._reads = reads

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        if not self.near(start, self.size if end is None else end):
            self._reads.append(self.name)
        return super().read(start, end)

    def near(self, start: int, end: int) -> bool:
        return end <= 65_536


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache, which does not exist yet."""
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SAVER_CACHE_BYTES", "1GB")
    return tmp_path / "cache" / "packs"


MODEL = {"a": np.arange(300_000.0), "b": np.arange(9, 40_000), "c": np.ones(20)}


def far(model: Any = MODEL) -> Far:
    storage = Far()
    saver.Saver(storage).save("m", model)
    storage.reads.clear()
    return storage


def demand_same(storage: Far, **options: Any) -> None:
    """Load what is there, and compare it with what was saved."""
    found = saver.Saver(storage).load("m", **options)
    assert all(np.array_equal(found[name], value) for name, value in MODEL.items())


def reads_of_packs(storage: Far) -> int:
    found = sum(each.startswith("packs/") for each in storage.reads)
    storage.reads.clear()
    return found


def files_in(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


# It saves time


def test_the_second_load_reads_no_pack(cache: Path) -> None:
    storage = far()
    demand_same(storage)
    assert reads_of_packs(storage) > 0
    for _ in range(2):
        demand_same(storage)
        assert reads_of_packs(storage) == 0


def test_the_second_load_waits_for_no_bytes() -> None:
    storage, waits = far(), list[float]()
    slow = LatencyStorage(storage, 0.05, waits.append)

    def waited() -> int:
        waits.clear()
        saver.Saver(slow).load("m")
        return len(waits)

    first, second = waited(), waited()
    assert reads_of_packs(storage) > 0
    assert second < first
    waited()
    assert reads_of_packs(storage) == 0


def test_a_part_that_was_read_is_there_and_the_others_are_not(cache: Path) -> None:
    storage = far()
    assert np.array_equal(saver.Saver(storage).load("m", lazy=True)["b"], MODEL["b"])
    assert reads_of_packs(storage) > 0
    assert np.array_equal(saver.Saver(storage).load("m", parts=["b"])["b"], MODEL["b"])
    assert reads_of_packs(storage) == 0
    demand_same(storage)
    assert reads_of_packs(storage) > 0


def test_a_store_on_this_machine_needs_none(cache: Path, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "store")
    store.save("m", MODEL)
    store.load("m")
    assert not cache.exists()


def test_what_is_changed_in_memory_does_not_change_the_cache() -> None:
    storage = far()
    for options in ({}, {"writable": True}):
        found = saver.Saver(storage).load("m", **options)
        found["a"][:] = -1
        demand_same(storage)


def test_none_is_kept_if_its_size_is_zero(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE_BYTES", "0")
    demand_same(far())
    assert not cache.exists()


# Whatever is done to it


def _flipped(at: int) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= 0xFF
        path.write_bytes(data)

    return flip


def _replaced(act: Callable[[Path], Any]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        act(path)

    return replace


HARM: dict[str, Callable[[Path], Any]] = {
    "removed": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "zeros, all of them there": lambda path: path.write_bytes(b"\1" * folder.START + bytes(5_000_000)),
    "garbage": lambda path: path.write_bytes(np.random.default_rng(0).bytes(3_000_000)),
    "ones": lambda path: path.write_bytes(b"\1" * 3_000_000),
    "a folder": _replaced(Path.mkdir),
    "a pipe": _replaced(os.mkfifo) if hasattr(os, "mkfifo") else Path.unlink,
    "a link to itself": _replaced(lambda path: path.symlink_to(path)),
    "a link to a device": _replaced(lambda path: path.symlink_to("/dev/zero")),
    "not to be read": lambda path: path.chmod(0),
    **{f"flipped at {at:,}": _flipped(at) for at in (0, PAGE, PAGE + 3, folder.START, folder.START + 9_000,
                                                     folder.START + 99_999, 2_000_000, -1)},
    **{f"cut at {size:,}": (lambda path, size=size: os.truncate(path, size))
       for size in (1, PAGE, PAGE + 7, folder.START, folder.START + 70_001, 1_000_000)},
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_whatever_is_done_to_a_file_the_load_is_right_and_the_store_sound(cache: Path, harm: str) -> None:
    storage = far()
    demand_same(storage)
    (file,) = files_in(cache)
    HARM[harm](file)
    demand_same(storage)
    demand_same(storage, writable=True)
    assert saver.Saver(storage).check().sound
    reads_of_packs(storage)
    demand_same(storage)
    if file.is_file() and file.stat().st_mode & 0o777:
        assert reads_of_packs(storage) == 0  # what was wrong was replaced


def test_every_byte_of_a_file_may_be_wrong() -> None:
    data = np.random.default_rng(0).bytes(3 * PAGE + 100)
    ranges = [Range(str(at), at, at + 1000, blake3(data[at : at + 1000]).hexdigest())
              for at in range(0, len(data) - 1000, 1000)]  # fmt: skip
    storage = Cache(str(Path(cache_folder(), "packs")), 1 << 30)
    name = "a" * 64

    def look() -> None:
        blob = CachedBlob(Whole(data), storage, name)
        assert damaged([(blob, ranges)]) == set()

    look()
    file = Path(storage.folder, f"{name}-0")
    sound = file.read_bytes()
    for at in [*range(0, folder.START, 997), *range(PAGE, PAGE + 8), *range(folder.START, len(sound), 211)]:
        wrong = bytearray(sound)
        wrong[at] ^= 1
        file.write_bytes(wrong)
        look()


class Whole(FarBlob):
    """An object of which nothing is near."""

    def __init__(self, data: bytes) -> None:
        super().__init__("packs/x", data, [])

    def near(self, start: int, end: int) -> bool:
        return False


def test_damage_of_the_store_is_found_by_check_and_by_those_who_have_no_copy(cache: Path) -> None:
    storage = far()
    demand_same(storage)
    (key,) = storage.keys("packs/")
    sound = storage.read(key)
    wrong = sound[:1_000_000] + b"wrong" + sound[1_000_005:]
    storage.replace(key, wrong)
    demand_same(storage)
    assert not saver.Saver(storage).check().sound
    shutil.rmtree(cache)
    for _ in range(2):
        with pytest.raises(saver.DamagedError):
            saver.Saver(storage).load("m")
    storage.replace(key, sound)
    demand_same(storage)


def test_packs_of_two_stores_with_one_name_are_two(cache: Path) -> None:
    for _ in range(2):
        for store, value in (("one", b"1"), ("two", b"2")):
            blob = kept(store, "f" * 32, Whole(value * 10_000))
            blob.fetch(0, 10_000, memoryview(b""))
            assert blob.map().tobytes() == value * 10_000
    assert len(files_in(cache)) == 2


def test_a_pack_that_was_replaced_is_cut_off_and_not_half_of_each() -> None:
    blob = kept("s", "p", Whole(bytes(20_000)))
    blob._blob._data = bytes(9_000)  # type: ignore[attr-defined]
    assert damaged([(blob, [Range("a", 0, 20_000, blake3(bytes(20_000)).hexdigest())])]) == {"a"}


# Bounds


def test_it_stays_within_its_bound_and_what_was_used_last_stays(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, size = 4_000_000, 500_000
    held = Cache(str(cache), limit)
    now = iter(range(10**9, 10**9 + 10**6))

    def fetch(number: int) -> None:
        blob = Whole(bytes([number]) * size)
        CachedBlob(blob, held, f"{number:064x}").fetch(0, size, memoryview(b""))
        for file in files_in(cache):
            if file.name.startswith(f"{number:064x}"):
                os.utime(file, (next(now),) * 2)

    for number in range(1, 40):
        fetch(number)
        fetch(0)
        assert held.held() <= limit
    names = {int(file.name.partition("-")[0], 16) for file in files_in(cache)}
    assert {0, 39, 38} <= names
    assert len(names) >= 5


def test_a_load_counts_as_a_use(cache: Path) -> None:
    held = Cache(str(cache), 1 << 30)
    CachedBlob(Whole(bytes(PAGE)), held, "0" * 64).fetch(0, PAGE, memoryview(b""))
    (file,) = files_in(cache)
    os.utime(file, (1, 1))
    CachedBlob(Whole(bytes(PAGE)), Cache(str(cache), 1 << 30), "0" * 64).fetch(0, PAGE, memoryview(b""))
    assert file.stat().st_mtime > 1


def test_a_pack_longer_than_a_file_of_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "SEGMENT", 5 * PAGE)
    data = np.random.default_rng(0).bytes(23 * PAGE + 17)
    held = Cache(str(cache), 1 << 30)
    ranges = [(0, 3), (4 * PAGE, 6 * PAGE), (9 * PAGE + 1, 21 * PAGE), (22 * PAGE, len(data))]
    for count in (4, 0):
        far = Whole(data)
        blob = CachedBlob(far, held, "0" * 64)
        for start, end in ranges:
            blob.fetch(start, end, memoryview(b""))
            assert blob.map()[start:end].tobytes() == data[start:end]
        assert len(far._reads) >= count
        assert bool(far._reads) == bool(count)
    assert len(files_in(cache)) == 5


def test_only_its_user_may_enter(cache: Path) -> None:
    demand_same(far())
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_folder_that_others_may_enter_is_not_used(cache: Path, caplog: Any) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    storage = far()
    with caplog.at_level(logging.WARNING, "saver"):
        demand_same(storage)
        demand_same(storage)
    assert files_in(cache) == []
    (text,) = [each.message for each in caplog.records if "bytes of packs" in each.message]
    assert "others may enter it" in text
    assert "SAVER_CACHE_BYTES=0" in text


def test_a_file_in_place_of_the_folder_costs_nothing(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"")
    demand_same(far())
    assert "not kept" in opened().trouble


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_belongs_to_another_user_is_not_written_to(cache: Path, what: str) -> None:
    storage = far()
    demand_same(storage)
    (file,) = files_in(cache)
    path = cache if what == "folder" else file
    os.chown(path, 12345, -1)
    before, number = file.read_bytes(), file.stat().st_ino
    with open(file, "rb") as seen:  # as one has it who opened the file when it was theirs
        shutil.copyfile(file, cache / "spare")
        opened()._used.clear()
        for _ in range(2):
            demand_same(storage)
        assert seen.read() == before
    if what == "folder":
        assert "it belongs to another user" in opened().trouble
    else:
        assert file.stat().st_ino != number
        assert file.stat().st_uid == 0


@pytest.mark.skipif(os.name == "nt", reason="links of POSIX")
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_other_file_is_written_to(cache: Path, tmp_path: Path, link: Any) -> None:
    """A link that somebody put there, while the folder was open to others, leads to a file of the user's."""
    storage, other = far(), tmp_path / "diary"
    demand_same(storage)
    (file,) = files_in(cache)
    file.unlink()
    other.write_bytes(b"Dear diary" * 10_000)
    before = other.read_bytes()
    link(other, file)
    for _ in range(2):
        opened()._used.clear()
        demand_same(storage)
    assert other.read_bytes() == before
    assert not opened().trouble
    reads_of_packs(storage)
    demand_same(storage)
    assert reads_of_packs(storage) == 0, "the link made room for a file"


def test_what_cannot_be_removed_does_not_end_the_bound(cache: Path) -> None:
    held = Cache(str(cache), 400_000)
    for number in range(20):
        if number == 1:
            Path(cache, f"{99:064x}-0").mkdir()
            os.utime(cache / f"{99:064x}-0", (0, 0))
        blob = Whole(bytes([number]) * 50_000)
        CachedBlob(blob, held, f"{number:064x}").fetch(0, 50_000, memoryview(b""))
        assert held.held() <= 400_000
    assert not held.trouble


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.booleans()), max_size=8), st.integers(0, 200)
)
def test_the_oldest_go_that_can(found: list[tuple[int, int, bool]], limit: int) -> None:
    class Some(Files):
        def remove(self, path: Any) -> None:
            if found[int(path.name)][2]:
                raise PermissionError(errno.EPERM, "immutable")
            gone.append(int(path.name))

    gone = list[int]()
    files = [(float(time), str(at), size) for at, (time, size, _) in enumerate(found)]
    sizes = [size for _, size, _ in found]
    stuck = sum(size for _, size, is_stuck in found if is_stuck)
    if stuck > limit:
        with pytest.raises(PermissionError):
            freed(Some(), 0, files, limit)
    else:
        freed(Some(), 0, files, limit)
    left = sum(sizes) - sum(sizes[at] for at in gone)
    assert left <= max(limit, stuck)
    assert [found[at][0] for at in gone] == sorted(found[at][0] for at in gone)
    if gone:
        assert left + sizes[gone[-1]] > limit, "none goes that need not"


@pytest.mark.parametrize("at", ["cache", "packs"])
def test_a_link_in_place_of_the_folder_leads_nowhere_else(cache: Path, tmp_path: Path, at: str) -> None:
    """Of the folder that the user names it is followed, of the one below it is not."""
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    if at == "packs":
        cache.parent.mkdir()
        cache.symlink_to(other)
    else:
        cache.parent.symlink_to(other)
    demand_same(far())
    assert len([*other.rglob("*-0")]) == (at == "cache")


# Faults


def _fetched(held: Cache) -> None:
    """Read an object that is partly here, and verify it."""
    data = np.random.default_rng(0).bytes(12 * PAGE)
    ranges = [Range(str(at), at, at + PAGE, blake3(data[at : at + PAGE]).hexdigest())
              for at in range(0, len(data), PAGE)]  # fmt: skip
    assert damaged([(CachedBlob(Whole(data), held, "0" * 64), ranges[3:5])]) == set()
    assert damaged([(CachedBlob(Whole(data), held, "0" * 64), ranges)]) == set()
    assert damaged([(CachedBlob(Whole(data), held, "1" * 64), ranges)]) == set()


SMALL = 100_000
"""So little that files are removed, too."""

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS, errno.ENOENT, errno.EMFILE,
          errno.ESTALE, errno.EINVAL, errno.EEXIST)  # fmt: skip


def test_every_fault_of_every_call_costs_time_and_nothing_else(tmp_path: Path) -> None:
    counting = FaultyFiles()
    _fetched(Cache(str(tmp_path / "first"), SMALL, counting))
    assert {"create", "write", "read_into", "list", "stat", "remove", "open_folder"} <= {
        each.split()[0] for each in counting.calls
    }
    struck = 0
    for at in range(1, len(counting.calls) + 1):
        for error in (*ERRORS, Crash()):
            files = FaultyFiles()
            files.fail(at, error)
            place = str(tmp_path / f"{at}-{error}")
            held = Cache(place, SMALL, files)
            if isinstance(error, Crash):
                with pytest.raises(Crash):
                    _fetched(held)
            else:
                _fetched(held)
            struck += files.struck
            _fetched(Cache(place, SMALL))
            shutil.rmtree(place, ignore_errors=True)
    assert struck == len(counting.calls) * (len(ERRORS) + 1)


class Deleting(FaultyFiles):
    """Somebody deletes the whole folder before one of the calls."""

    def __init__(self, place: str, at: int) -> None:
        super().__init__()
        self._place, self._deletes = place, at

    def _count(self, what: str) -> int:
        found = super()._count(what)
        if found == self._deletes:
            shutil.rmtree(self._place, ignore_errors=True)
        return found


def test_it_may_be_deleted_at_any_moment(tmp_path: Path) -> None:
    place = str(tmp_path / "packs")
    counting = FaultyFiles()
    _fetched(Cache(place, SMALL, counting))
    for at in range(1, len(counting.calls) + 1):
        shutil.rmtree(place, ignore_errors=True)
        held = Cache(place, SMALL, Deleting(place, at))
        _fetched(held)
        assert not held.trouble


class Full(Files):
    """A disk on which nothing more fits."""

    def write(self, file: int, data: memoryview, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_once_and_is_not_tried_each_time(tmp_path: Path, caplog: Any) -> None:
    counting = FaultyFiles(Full())
    held = Cache(str(tmp_path / "packs"), 1 << 30, counting)
    with caplog.at_level(logging.WARNING, "saver"):
        for _ in range(5):
            _fetched(held)
    assert sum(each == "write" for each in counting.calls) == 1
    assert len(caplog.records) == 1
    assert "No space left" in held.trouble
    held._again = 0.0
    _fetched(held)
    assert sum(each == "write" for each in counting.calls) == 3  # a use, and what it was about


def test_many_at_once_see_what_was_saved(tmp_path: Path) -> None:
    """Each with a cache of its own in one folder, as processes have, which is too small for all."""
    datas = [np.random.default_rng(seed).bytes(200_000 + seed) for seed in range(4)]
    wrong = list[int]()

    def work(seed: int) -> None:
        drawing = np.random.default_rng(100 + seed)
        held = Cache(str(tmp_path / "packs"), 500_000)
        for _ in range(60):
            which = int(drawing.integers(4))
            start = int(drawing.integers(150_000))
            digest = blake3(datas[which][start : start + 40_000]).hexdigest()
            blob = CachedBlob(Whole(datas[which]), held, f"{which:064x}")
            if damaged([(blob, [Range("a", start, start + 40_000, digest)])]):
                wrong.append(which)
        if held.trouble:
            wrong.append(-1)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


# Settings


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("20GB", 20 * 10**9),
        ("1.5 tb", 15 * 10**11),
        ("7k", 7000),
        ("0", 0),
        (" 3M ", 3 * 10**6),
    ],
)
def test_the_bound_is_a_size(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE_BYTES", text)
    assert opened().limit == size


@pytest.mark.parametrize("text", ["many", "-1", "1e9", "10 GiB", "NaN", "1" * 30, "٣"])
def test_another_bound_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE_BYTES", text)
    with pytest.raises(ValueError, match=r"SAVER_CACHE_BYTES is .*write a size"):
        saver.Saver(far()).load("m")


def test_by_default_it_takes_a_tenth_of_the_disk_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAVER_CACHE_BYTES")
    total = shutil.disk_usage(Path(cache_folder()).parent).total
    assert opened().limit == min(folder.LARGEST, total // 10)
