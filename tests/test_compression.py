"""Compression as users see it: stores, single saves, files, runs, pushes, copies."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import IncompatibleError
from saver.repo.backup import backup
from saver.repo.gc import moving
from saver.seals import compressing, zstd
from saver.seals.recognizing import is_compressed
from saver.storages.memory import MemoryStorage

pytest.importorskip("zstandard")

WEIGHTS = np.random.default_rng(0).normal(0, 0.01, 200_000).astype("f4")
STATE = {"weights": WEIGHTS, "ids": np.arange(100_000) % 997, "words": ["a", "b"]}


def packs(folder: Path) -> list[bytes]:
    """The first bytes of all packs."""
    return [path.read_bytes()[:4096] for path in sorted((folder / "packs").iterdir())]


def same(found: Any, state: dict[str, Any] = STATE) -> bool:
    return all(np.array_equal(found[name], value) for name, value in state.items())


def large(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {"weights": random.normal(size=1_600_000).astype("f4"), "ids": random.integers(0, 50, 400_000)}


@pytest.mark.parametrize("state", [STATE, large(0)], ids=["one file", "a pack"])
def test_a_store_that_compresses_is_read_by_all_and_smaller(tmp_path: Path, state: dict[str, Any]) -> None:
    plain, packed = saver.Saver(tmp_path / "plain"), saver.Saver(tmp_path / "packed", compress=True)
    sizes = [store.save("m", state).bytes_added for store in (plain, packed)]
    assert sizes[1] < 0.85 * sizes[0]
    stored = sum(path.stat().st_size for path in (tmp_path / "packed" / "packs").iterdir())
    assert stored <= sizes[1] < stored + 10_000, "what the store grew by is what was stored"
    assert all(map(is_compressed, packs(tmp_path / "packed")))
    assert same(saver.Saver(tmp_path / "packed").load("m"), state)
    assert same(saver.Saver(tmp_path / "packed").load("m", lazy=True), state)
    assert packed.check().sound
    saver.dump(state, tmp_path / "m.saver")
    assert packed.diff("m", str(tmp_path / "m.saver")).same


@pytest.mark.parametrize(
    ("store", "save", "packed"),
    [
        (False, None, False),
        (False, True, True),
        (True, None, True),
        (True, False, False),
        (False, False, False),
    ],
)
@pytest.mark.parametrize("wait", [True, False])
def test_a_save_decides_or_else_the_store(
    tmp_path: Path, store: bool, save: bool | None, packed: bool, wait: bool
) -> None:
    found: Any = saver.Saver(tmp_path, compress=store).save("m", large(1), compress=save, wait=wait)  # type: ignore[call-overload]
    if not wait:
        found.result()
    assert [*map(is_compressed, packs(tmp_path))] == [packed]
    assert same(saver.Saver(tmp_path).load("m"), large(1))


def test_bytes_are_shared_whatever_form_they_have(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    store.save("m", large(2))
    assert store.save("m", large(2), compress=True).bytes_added < 100_000
    store.save("n", large(3), compress=True)
    assert store.save("n", large(3)).bytes_added < 100_000


def test_compaction_keeps_packs_compressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the collector would not compress by itself."""
    monkeypatch.setattr(moving, "DEAD_BYTES", 6000)
    state = {f"t{at}": np.full(400_000, at) for at in range(60)}
    saver.Saver(tmp_path).save("m", state, compress=True)
    store = saver.Saver(tmp_path)
    store.save("m", dict([*state.items()][:2]))
    store.delete("m@1")
    assert len(store.gc(grace=0).moved) == 1
    (pack,) = packs(tmp_path)
    assert is_compressed(pack)
    assert same(store.load("m"), dict([*state.items()][:2]))
    assert store.check().sound


def test_a_copy_has_the_very_bytes(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "a", compress=True)
    store.save("m", large(4))
    assert store.backup(tmp_path / "b").whole
    assert packs(tmp_path / "a") == packs(tmp_path / "b")
    assert same(saver.Saver(tmp_path / "b").load("m"), large(4))
    assert saver.Saver(tmp_path / "b").check().sound


def test_a_push_keeps_what_the_target_says(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "a", compress=True)
    store.save("m", large(5))
    store.push("m", tmp_path / "plain")
    store.push("m", saver.Saver(tmp_path / "packed", compress=True))
    assert not any(map(is_compressed, packs(tmp_path / "plain")))
    assert all(map(is_compressed, packs(tmp_path / "packed")))


def test_a_run_is_compressed_as_its_store_is(tmp_path: Path) -> None:
    every = saver.Every(steps=1)
    with saver.Saver(tmp_path, compress=True).checkpoints("m", {"model": large(6)}, every=every) as run:
        run.step(1)
    assert any(map(is_compressed, packs(tmp_path)))


@pytest.mark.parametrize("state", [STATE, large(7), {"a": 1}], ids=["small", "large", "tiny"])
@pytest.mark.parametrize("to", [None, "env:PASSPHRASE"])
def test_files(tmp_path: Path, state: Any, to: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if to is not None:
        pytest.importorskip("cryptography")
        from saver.keys import scrypt

        monkeypatch.setattr(scrypt, "FACTOR", scrypt.FACTORS[0])
        monkeypatch.setenv("PASSPHRASE", "eight words of which nobody would ever think")
    path = tmp_path / "m.saver"
    size = saver.dump(state, path, compress=True, to=to)
    assert size == path.stat().st_size
    assert size < 0.85 * saver.dump(state, io.BytesIO(), to=to) or state == {"a": 1}
    assert same(saver.load(path, key=to), state)
    assert same(saver.load(path, key=to, lazy=True), state)
    saver.verify(path, key=to)
    assert same(saver.loads(saver.dumps(state, compress=True, to=to), key=to), state)
    saver.Saver(tmp_path / "store").import_(path, "m") if to is None else None


def test_a_sealed_store_compresses_before_it_encrypts(tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    from saver.keys.files import new_key_file

    key, folder = str(tmp_path / "ada.key"), tmp_path / "store"
    new_key_file(key)
    store = saver.Saver(folder, key=key, compress=True)
    for state in (STATE, large(8)):
        plain = sum(np.asarray(value).nbytes for value in state.values())
        assert store.save("m", state).bytes_added < 0.85 * plain
        assert same(saver.Saver(folder, key=key).load("m"), state)
    assert not any(map(is_compressed, packs(folder)))
    assert store.check().sound


def test_a_missing_package_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("the standard library has it")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for attempt in (
        lambda: saver.Saver(tmp_path / "store", compress=True),
        lambda: saver.Saver(tmp_path / "store").save("m", STATE, compress=True),
        lambda: saver.dump(STATE, tmp_path / "m.saver", compress=True),
    ):
        with pytest.raises(IncompatibleError, match=r"saver-ml\[compression\]"):
            attempt()
    assert not (tmp_path / "m.saver").exists()
    assert not (tmp_path / "store" / "packs").exists()


def test_what_is_compressed_is_not_read_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.saver"
    saver.dump(STATE, path, compress=True)
    monkeypatch.setattr(zstd, "_library", zstd._of_package)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(IncompatibleError, match="compression"):
        saver.load(path)


def test_other_forms_of_the_argument_are_refused(tmp_path: Path) -> None:
    wrong: Any = "no"
    with pytest.raises(TypeError, match="compress"):
        saver.Saver(tmp_path, compress=wrong)
    with pytest.raises(TypeError, match="compress"):
        saver.Saver(tmp_path).save("m", 1, compress=wrong)
    with pytest.raises(TypeError, match="compress"):
        saver.dump(1, tmp_path / "a.saver", compress=wrong)


def test_a_backup_of_a_store_in_memory_is_compressed_too() -> None:
    store = saver.Saver(MemoryStorage(), compress=True)
    store.save("m", large(9))
    copy = MemoryStorage()
    assert backup(store._repo, copy).whole
    assert same(saver.Saver(copy).load("m"), large(9))


class InOrder(io.RawIOBase):
    """A file that takes bytes in order alone, as a bucket does."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


@pytest.mark.parametrize("held", [compressing.HELD, 1], ids=["kept", "compressed twice"])
@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
@pytest.mark.parametrize("where", ["folder", "in order", "store"])
@pytest.mark.parametrize("state", ["tiny", "small", "random", "large"])
def test_progress_counts_each_byte_once(
    state: str, where: str, sealed: bool, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressing, "HELD", held)
    random = np.random.default_rng(0)
    found = {
        "tiny": {"a": np.arange(3000)}, "small": {"a": np.arange(500_000)},
        "random": {"a": random.integers(0, 2**62, 700_000)}, "large": large(1),
    }[state]  # fmt: skip
    to: Any = None
    if sealed:
        pytest.importorskip("cryptography")
        pytest.importorskip("pyrage")
        from saver.keys import age

        identity = age.new_identity()
        to = identity.public
    seen = list[tuple[int, int]]()

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    if where == "store":
        key = (lambda: identity.reveal()) if sealed else None
        saver.Saver(MemoryStorage(), key=key, compress=True).save("a", found, progress=progress)
    else:
        target: Any = InOrder() if where == "in order" else tmp_path / "a.saver"
        saver.dump(found, target, to=to, compress=True, progress=progress)
    assert seen
    done = [each for each, _ in seen]
    assert done == sorted(done)
    assert len({total for _, total in seen}) == 1
    assert done[-1] == seen[-1][1]
