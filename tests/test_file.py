"""One file: what stands in it as a whole, whatever the parts are."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from equality import assert_same
from saver.compare import compare
from saver.description import describe_opened
from saver.encoding import encode_opened
from saver.opening import open_file
from saver.repo import manifest as manifests
from saver.restoring import restore
from saver.tree import to_json


def hashes(path: Path) -> dict[str, str]:
    return {part.name: part.hash for part in saver.describe(path).parts}


def test_a_part_has_the_same_hash_whatever_stands_beside_it(tmp_path: Path) -> None:
    """Otherwise one more part would make all others look changed."""

    def twice() -> list[Any]:
        shared = [np.arange(300.0)]
        return [shared, shared]

    saver.dump({"b": twice()}, tmp_path / "alone")
    saver.dump({"a": twice(), "b": twice()}, tmp_path / "beside")
    assert hashes(tmp_path / "alone")["b"] == hashes(tmp_path / "beside")["b"]
    assert hashes(tmp_path / "beside")["a"] != hashes(tmp_path / "beside")["b"]  # the tensors' names differ


@pytest.mark.parametrize("lazy", [False, True])
def test_parts_share_what_they_shared(tmp_path: Path, lazy: bool) -> None:
    shared, other = [1], [2]
    saver.dump({"x": [other, shared, other], "y": [shared, shared], "z": [other, shared]}, tmp_path / "s")
    loaded = saver.load(tmp_path / "s", lazy=lazy)
    z, y, x = loaded["z"], loaded["y"], loaded["x"]
    assert z[0] is x[0] is x[2]
    assert z[1] is y[0] is y[1] is x[1]
    assert (z, y) == ([[2], [1]], [[1], [1]])


def test_a_mapping_gives_its_keys_to_the_parts_and_back_in_order(roundtrip: Callable[..., Any]) -> None:
    saved = {"model": 1, "a b": [2], "é": None}
    assert list(roundtrip(saved).items()) == list(saved.items())


@pytest.mark.parametrize("saved", [{}, {1: 2}, {"a/b": 1}, {str(i): i for i in range(65)}, [1], None, 3.5])
def test_everything_else_is_one_part(saved: Any, tmp_path: Path) -> None:
    saver.dump(saved, tmp_path / "s")
    assert list(hashes(tmp_path / "s")) == ["model"]
    assert saver.load(tmp_path / "s") == saved


def test_lazy_parts_are_a_read_only_mapping(tmp_path: Path) -> None:
    saver.dump({"a": [1], "b": 2}, tmp_path / "s")
    parts = saver.load(tmp_path / "s", lazy=True)
    assert dict(parts) == {"a": [1], "b": 2}
    assert parts["a"] is parts["a"]
    assert len(parts) == 2
    with pytest.raises(KeyError):
        parts["c"]
    with pytest.raises(TypeError):
        parts["a"] = 3


SAMPLE: dict[str, Any] = {
    "small": {"x": [1, "two", None]},
    "arrays": {"a": np.arange(1000.0), "b": np.ones((30, 40), np.float32), "c": np.zeros((0, 3))},
    "strided": np.arange(3_000_000.0).reshape(1000, 3000).T,
    "large": np.arange(2_500_000, dtype=np.uint32),
}
"""More than is hashed in one go, and tensors of every size that is written in a way of its own."""


class Sink:
    """Takes bytes in order and has no other method; `most` at a time."""

    def __init__(self, most: int | None = None) -> None:
        self.held = bytearray()
        self.most = most

    def write(self, data: Any) -> int | None:
        taken = memoryview(data)[: self.most]
        self.held += taken
        return None if self.most is None else len(taken)


class Spring:
    """Gives bytes in order and has no other method; `most` at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self.data, self.most = data, most

    def read(self, size: int) -> bytes:
        found, self.data = self.data[: min(size, self.most)], self.data[min(size, self.most) :]
        return found


@pytest.mark.slow
@pytest.mark.parametrize("part", [*SAMPLE, None])
def test_bytes_and_file_objects_hold_what_a_file_does(part: str | None, tmp_path: Path) -> None:
    saved = SAMPLE if part is None else SAMPLE[part]
    with (tmp_path / "f").open("wb", buffering=0) as unbuffered:
        size = saver.dump(saved, unbuffered)
    assert (tmp_path / "f").stat().st_size == size
    sinks = [Sink(), Sink(100_000), io.BytesIO()]
    for sink in sinks:
        saver.dump(saved, sink)
    for data in (saver.dumps(saved), *(bytes(s.held) for s in sinks[:2]), sinks[2].getvalue()):  # type: ignore[union-attr]
        assert len(data) == size
        assert_same(saver.loads(data), saved)
        (tmp_path / "g").write_bytes(data)
        assert_same(saver.load(tmp_path / "g"), saved)
        assert_same(saver.load(Spring(data, 70_000)), saved)
    saver.verify(tmp_path / "f")
    with (tmp_path / "f").open("rb") as file:
        assert_same(saver.load(file), saved)
        assert file.read() == b""


def test_a_file_object_is_read_from_where_it_stands() -> None:
    memory = io.BytesIO()
    memory.write(b"before")
    saver.dump([1], memory)
    memory.seek(6)
    assert saver.load(memory) == [1]


def test_what_is_loaded_from_bytes_may_be_changed_and_the_bytes_stay() -> None:
    data = saver.dumps(np.zeros(300))
    kept = bytes(data)
    found = saver.loads(data)
    found += 1
    assert data == kept
    assert saver.loads(data).sum() == 0


@pytest.mark.parametrize("cut", [1, 4096])
def test_what_was_cut_off_or_changed_is_damage(cut: int) -> None:
    data = saver.dumps(np.arange(3000.0))
    changed = data[:-cut] + bytes([data[-cut] ^ 1]) + data[len(data) - cut + 1 :]
    for wrong in (data[:-cut], changed, b""):
        for load in (saver.loads, lambda wrong: saver.load(io.BytesIO(wrong))):
            with pytest.raises(saver.DamagedError):
                load(wrong)


class Endless:
    """A file object that gives some bytes, and then others without end."""

    def __init__(self, first: bytes, then: bytes) -> None:
        self._first = first
        self._then = then
        self.given = 0

    def read(self, size: int) -> bytes:
        found, self._first = self._first[:size], self._first[size:]
        found = found or (self._then * (size // len(self._then) + 1))[:size]
        self.given += len(found)
        return found


@pytest.mark.parametrize("then", [b"\0", b"x", b"{}", saver.dumps([1])[:3]])
@pytest.mark.parametrize("kept", [0, 8, 100, 5000, None])
def test_what_has_no_end_is_refused_once_that_shows(kept: int | None, then: bytes) -> None:
    whole = saver.dumps({"a": np.arange(3000.0)})
    for call in (
        saver.load,
        saver.describe,
        saver.verify,
        lambda what: saver.restore(what, {"a": np.zeros(3000)}),
    ):
        source = Endless(whole if kept is None else whole[:kept], then)
        with pytest.raises((saver.DamagedError, saver.IncompatibleError)):
            call(source)
        assert source.given <= len(whole) + 1


def test_a_file_object_whose_bytes_are_not_there_yet_is_an_error() -> None:
    class Waiting(io.RawIOBase):
        def read(self, size: int = -1) -> None:  # type: ignore[override]
            return None

    with pytest.raises(saver.CannotReadError, match="blocking"):
        saver.load(Waiting())


@pytest.mark.parametrize("wrong", [None, 5, b"bytes", bytearray(b"x"), ["path"], io.StringIO()])
def test_what_is_neither_path_nor_file_is_a_type_error(wrong: Any) -> None:
    calls: list[Callable[[Any], object]] = [
        saver.load, saver.describe, saver.verify, lambda what: saver.dump([1], what),
        lambda what: saver.restore(what, []), lambda what: saver.diff(what, what),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(TypeError, match="path: pass a path or a file that is open in binary mode"):
            call(wrong)


def test_a_file_that_is_open_for_something_else_is_refused(tmp_path: Path) -> None:
    saver.dump([1], tmp_path / "s")
    with (tmp_path / "s").open("rb") as file, pytest.raises(OSError, match="write"):
        saver.dump([1], file)
    with (tmp_path / "s").open("r+") as file, pytest.raises(TypeError, match="binary"):
        saver.load(file)
    with pytest.raises(TypeError, match="cannot be read from"):
        saver.load(Sink())
    with pytest.raises(TypeError, match="cannot be written to"):
        saver.dump([1], Spring(b"", 1))


def test_a_sink_that_is_full_is_an_error() -> None:
    with pytest.raises(saver.CannotWriteError, match="takes no more bytes"):
        saver.dump([1], Sink(0))


def test_a_tensor_that_changes_while_it_is_given_on_is_an_error() -> None:
    """It is hashed before it is written, for the header goes first."""
    array = np.zeros(1_000_000)

    class Changing(Sink):
        def write(self, data: Any) -> int | None:
            array[:] += 1
            return super().write(data)

    with pytest.raises(saver.CannotWriteError, match="changed while it was being saved"):
        saver.dump(array, Changing())


def test_of_chosen_parts_no_other_bytes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s"
    saver.dump({"a": np.arange(1000.0), "b": np.arange(1000.0) + 1, "c": [1]}, path)
    raw = bytearray(path.read_bytes())
    at = bytes(raw).index((np.arange(1000.0) + 1).tobytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    assert_same(saver.load(path, parts=["c", "a"]), {"c": [1], "a": np.arange(1000.0)})
    assert saver.load(path, parts=[]) == {}
    for failing in (lambda: saver.load(path, parts=["b"]), lambda: saver.verify(path)):
        with pytest.raises(saver.DamagedError, match="b"):
            failing()
    with pytest.raises(saver.NotFoundError, match="no part 'd'; it has a, b, c"):
        saver.load(path, parts=["d"])


def test_a_file_is_restored_into_what_is_there(tmp_path: Path) -> None:
    saver.dump({"w": np.arange(300.0), "log": [1, 2]}, tmp_path / "s")
    w, log = np.zeros(300), [0]
    report = saver.restore(tmp_path / "s", {"w": w, "log": log})
    assert report
    assert (w.sum(), log) == (np.arange(300.0).sum(), [1, 2])
    with pytest.raises(saver.DoesNotFitError):
        saver.restore(tmp_path / "s", {"w": np.zeros(5)})


def test_files_and_versions_are_compared_alike(tmp_path: Path) -> None:
    """In any pair, of each kind."""
    store = saver.Saver(tmp_path / "store")
    states = [{"w": np.arange(300.0), "log": [1]}, {"w": np.arange(300.0), "log": [2]}]
    for number, state in enumerate(states):
        store.save("m", state)
        saver.dump(state, tmp_path / f"{number}.saver")
    forms = [
        [f"m@{number + 1}", tmp_path / f"{number}.saver", str(tmp_path / f"{number}.saver")]
        for number in (0, 1)
    ]
    for old in forms[0]:
        for new in forms[1]:
            found = store.diff(old, new)
            assert [(field.path, field.old, field.new) for field in found.fields] == [("log", "[1]", "[2]")]
            assert found.arrays == ()
    assert saver.diff(*(form[1] for form in forms)).fields == store.diff("m@1", "m@2").fields
    with (tmp_path / "0.saver").open("rb") as file:
        assert not store.diff("m@1", file).fields


def test_what_is_carried_through_file_objects_is_the_same_version(tmp_path: Path) -> None:
    store, other = saver.Saver(tmp_path / "store"), saver.Saver(tmp_path / "other")
    store.save("m", {"w": np.arange(300.0)}, notes="kept")
    memory = io.BytesIO()
    store.export("m", memory)
    memory.seek(0)
    version = other.import_(memory, "n")
    assert version.notes == "kept"
    assert version.parts["w"].hash == store.version("m").parts["w"].hash


def test_what_was_opened_stays_as_it_was(tmp_path: Path) -> None:
    """All that one does with a version begins with the same manifest and trees."""
    saver.dump({"net": {"w": np.arange(300.0), "again": [1, [2]]}, "x": [3]}, tmp_path / "s")
    opened = open_file(tmp_path / "s")
    before = to_json([opened.manifest, {name: tree.root for name, tree in opened.trees.items()}])
    raw = manifests.encode(opened.manifest)
    target: dict[str, Any] = {"w": np.zeros(300)}
    opened.load(())
    restore(opened, {"net": target})
    compare(opened, opened)
    describe_opened(opened)
    encode_opened(opened)
    dict(opened.load((), lazy=True))
    assert to_json([opened.manifest, {name: tree.root for name, tree in opened.trees.items()}]) == before
    assert manifests.encode(opened.manifest) == raw
    for change in ("parts", "whole"):
        with pytest.raises(AttributeError):
            setattr(opened.manifest, change, {})


def test_a_pipe_carries_an_object_from_one_process_to_another() -> None:
    program = "import sys, numpy, saver; saver.dump({'w': numpy.arange(300_000.0)}, sys.stdout.buffer)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert_same(saver.load(other.stdout), {"w": np.arange(300_000.0)})
    assert other.returncode == 0
