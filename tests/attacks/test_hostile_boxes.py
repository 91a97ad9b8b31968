"""Files and stores whose hashes match, with tensors cut as nobody cuts them: refused by every call."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from forge import File, forged
from test_hostile_stores import fresh, manifest_of, record_of

import saver
from saver.storages.memory import MemoryStorage

pytestmark = pytest.mark.filterwarnings("ignore")

TABLE = np.arange(400.0).reshape(20, 20)


def cut(file: File, shape: list[Any], *shards: tuple[str, list[Any], np.ndarray[Any, Any]]) -> None:
    """The only tensor as these shards: name, offsets, and values."""
    file.tensors.clear()
    file.own.update(hashes=[], blocks={}, cuts={"x": {"shape": shape, "shards": {}}})
    file.data = b""
    for name, offsets, values in shards:
        dtype = {"<f8": "F64", "<i8": "I64", "|u1": "U8", "<f4": "F32"}[values.dtype.str]
        file.tensor(name, dtype, values.tobytes(), list(values.shape))
        file.own["cuts"]["x"]["shards"][name] = offsets


def halves(file: File, **changes: Any) -> None:
    """Cut into two halves, but for what is changed of the cut."""
    cut(file, [20, 20], ("x#0", [0, 0], TABLE[:10]), ("x#200", [10, 0], TABLE[10:]))
    file.own["cuts"]["x"].update(changes)


def second(*offsets: Any) -> Callable[[File], None]:
    return lambda file: halves(file, shards={"x#0": [0, 0], "x#200": [*offsets]})


def shape(*sizes: Any) -> Callable[[File], None]:
    return lambda file: halves(file, shape=[*sizes])


def crowd(
    count: int, at: Callable[[int], list[int]], sizes: list[int], whole: list[int]
) -> Callable[[File], None]:
    """So many shards of zeros, where `at` says."""

    def act(file: File) -> None:
        cut(file, whole)
        for number in range(count):
            file.tensor(f"x#{number}", "U8", bytes(math.prod(sizes)), sizes)
            file.own["cuts"]["x"]["shards"][f"x#{number}"] = at(number)

    return act


def cuts(**more: Any) -> Callable[[File], None]:
    def act(file: File) -> None:
        halves(file)
        file.own["cuts"].update(more)

    return act


CUTS: dict[str, Callable[[File], None]] = {
    "an overlap": second(9, 0),
    "a gap": second(11, 0),
    "the same place": second(0, 0),
    "beyond the end": second(20, 0),
    "beside": second(0, 20),
    "before the beginning": second(-10, 0),
    "a huge place": second(2**63, 0),
    "a place beyond all numbers": second(10**40, 0),
    "a place that wraps around": second(2**64 + 10, 0),
    "too few axes": second(10),
    "too many axes": second(10, 0, 0),
    "no axes": second(),
    "a place that is a text": second("10", 0),
    "half a place": second(9.5, 0),
    "a larger shape": shape(21, 20),
    "a smaller shape": shape(19, 20),
    "a shape with more axes": shape(20, 20, 1),
    "a shape with fewer axes": shape(400),
    "an empty shape": shape(),
    "a shape of nothing": shape(0, 20),
    "a negative shape": shape(-20, -20),
    "a huge shape": shape(2**62, 20),
    "another order": lambda file: halves(file, shards={"x#200": [10, 0], "x#0": [0, 0]}),
    "another dtype": lambda file: cut(
        file, [20, 20], ("x#0", [0, 0], TABLE[:10]), ("x#200", [10, 0], TABLE[10:].view("i8"))
    ),
    "another item size": lambda file: cut(
        file, [20, 20], ("x#0", [0, 0], TABLE[:10]), ("x#200", [10, 0], TABLE[10:].astype("f4"))
    ),
    "one shard missing": lambda file: halves(file, shards={"x#0": [0, 0]}),
    "a shard that is nowhere": lambda file: halves(file, shards={"x#0": [0, 0], "y": [10, 0]}),
    "no shards": lambda file: halves(file, shards={}),
    "one shard in two tensors": cuts(y={"shape": [10, 20], "shards": {"x#0": [0, 0]}}),
    "a tensor that is a shard": cuts(**{"x#0": {"shape": [10, 20], "shards": {"x#200": [0, 0]}}}),
    "a tensor of itself": cuts(x={"shape": [20, 20], "shards": {"x": [0, 0]}}),
    "many shards of one element": crowd(5000, lambda number: [0], [1], [1]),
    "many shards of one element, far apart": crowd(5000, lambda number: [2 * number], [1], [9999]),
    "many that overlap": crowd(5000, lambda number: [number], [2], [5001]),
    "many shards without elements": crowd(5000, lambda number: [number, 0], [1, 0], [5000, 0]),
    "many shards of no size": crowd(5000, lambda number: [0], [0], [1]),
    "cuts along six axes": crowd(
        64, lambda number: [number >> axis & 1 for axis in range(6)], [1] * 6, [2] * 6
    ),
    "64 axes": crowd(2, lambda number: [number] + [0] * 63, [1] * 64, [3] + [1] * 63),
    "65 axes": crowd(2, lambda number: [number] + [0] * 64, [1] * 65, [2] + [1] * 64),
}  # fmt: skip

READING: dict[str, Callable[[Path], Any]] = {
    "load": saver.load,
    "load lazily": lambda path: dict(saver.load(path, lazy=True)),
    "restore": lambda path: saver.restore(path, {"x": np.zeros((20, 20))}, strict=False),
    "describe": lambda path: str(saver.describe(path)),
    "diff": lambda path: saver.diff(path, path),
    "verify": saver.verify,
    "import": lambda path: saver.Saver(MemoryStorage()).import_(path, "m"),
}


@pytest.mark.parametrize("what", CUTS)
def test_a_file_cut_as_nobody_cuts_is_refused_by_every_call(what: str, tmp_path: Path) -> None:
    file = forged(tmp_path, {"x": TABLE})
    CUTS[what](file)
    path = file.write(tmp_path / "forged.saver")
    for act in READING.values():
        with pytest.raises(saver.IncompatibleError, match=r"forged\.saver"):
            act(path)


@pytest.mark.parametrize("count", [2, 5000])
def test_boxes_that_tile_are_the_tensor_that_they_make(count: int, tmp_path: Path) -> None:
    file = forged(tmp_path, {"x": np.arange(2.0 * count)})
    values = np.arange(2.0 * count)
    shards = ((f"x#{at}", [at], values[at : at + 2]) for at in range(0, 2 * count, 2))
    cut(file, [2 * count], *shards)
    path = file.write(tmp_path / "forged.saver")
    assert np.array_equal(saver.load(path)["x"], values)
    assert np.array_equal(saver.load(path, lazy=True)["x"], values)
    target = {"x": np.zeros(2 * count)}
    saver.restore(path, target)
    assert np.array_equal(target["x"], values)
    assert not saver.diff(path, path)


# Stores


def split(tensor: dict[str, Any]) -> list[Any]:
    """A tensor of a manifest, in two halves, as they would be saved."""
    (shard,) = tensor["shards"]
    (pack, offset, length) = shard["extents"][0]
    half, (size,) = length // 2, tensor["shape"]
    tensor["shards"] = [
        {"box": [[at * size // 2], [size // 2]], "extents": [[pack, offset + at * half, half]], "hash": ""}
        for at in (0, 1)
    ]
    found: list[Any] = tensor["shards"]
    return found


def box(offset: Any, size: Any) -> Callable[[dict[str, Any], list[Any]], None]:
    return lambda tensor, shards: shards[1].update(box=[[offset], [size]])


def extents(*places: Any) -> Callable[[dict[str, Any], list[Any]], None]:
    return lambda tensor, shards: shards[1].update(extents=[*places])


BOXES: dict[str, Callable[[dict[str, Any], list[Any]], None]] = {
    "an overlap": box(34, 35),
    "a gap": box(36, 34),
    "the same box": box(0, 35),
    "a huge box": box(35, 2**62),
    "a negative box": box(-35, 35),
    "an empty box": box(70, 0),
    "axes that differ": lambda tensor, shards: shards[1].update(box=[[35], [35, 1]]),
    "no box": lambda tensor, shards: shards[1].pop("box"),
    "too large a tensor": lambda tensor, shards: tensor.update(shape=[71]),
    "a tensor of more axes": lambda tensor, shards: tensor.update(shape=[70, 1]),
    "a tensor of nothing": lambda tensor, shards: tensor.update(shape=[0]),
    "another dtype": lambda tensor, shards: tensor.update(dtype="F32"),
    "an unknown dtype": lambda tensor, shards: tensor.update(dtype="I4"),
    "another order": lambda tensor, shards: shards.reverse(),
    "a shard more": lambda tensor, shards: shards.append(shards[1]),
    "a shard less": lambda tensor, shards: shards.pop(),
    "no shard": lambda tensor, shards: shards.clear(),
    "thousands of one element": lambda tensor, shards: shards.extend([shards[1]] * 5000),
    "fewer bytes": extents([0, 4096, 272]),
    "more bytes": extents([0, 4096, 288]),
    "no bytes": extents(),
    "bytes in two places": extents([0, 4096, 140], [0, 4236, 140]),
    "a place beyond the end": extents([0, 1 << 40, 280]),
    "a place beyond all numbers": extents([0, 1 << 70, 280]),
    "a negative place": extents([0, -4096, 280]),
    "another pack": extents([7, 4096, 280]),
    "a negative pack": extents([-1, 4096, 280]),
    "blocks of what has none": lambda tensor, shards: shards[1].update(blocks=["0" * 64] * 3),
    "a hash of another": lambda tensor, shards: shards[1].update(hash=shards[0]["hash"]),
}


def in_boxes(act: Callable[[dict[str, Any], list[Any]], None]) -> saver.Saver:
    """A store in which c of m@3 is cut."""
    found = fresh()
    record_of(found, "m", 3)  # no checkpoint knows better
    manifest = manifest_of(found, "m", 3)
    tensor = manifest["tensors"]["c"]
    shards = split(tensor)
    for shard in shards:
        pack, offset, length = shard["extents"][0]
        data = found.packs[f"packs/{manifest['packs'][pack]}.safetensors"]
        shard["hash"] = blake3(data[offset : offset + length]).hexdigest()
    act(tensor, shards)
    return saver.Saver(found.assemble())


ASKING: dict[str, Callable[[saver.Saver, Path], Any]] = {
    "load": lambda own, folder: own.load("m@3"),
    "load lazily": lambda own, folder: own.load("m@3", lazy=True)["c"],
    "restore": lambda own, folder: own.restore("m@3", {"c": np.zeros(70)}),
    "verify": lambda own, folder: own.verify("m@3"),
    "export": lambda own, folder: own.export("m@3", folder / "m.saver"),
}
LOOKING: dict[str, Callable[[saver.Saver, Path], Any]] = {
    "describe": lambda own, folder: str(own.describe("m@3")),
    "diff": lambda own, folder: own.diff("m@2", "m@3"),
    "backup": lambda own, folder: own.backup(folder / "copy"),
}


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saver.addresses._index", lambda storage, ident: None)


@pytest.mark.parametrize("what", BOXES)
def test_a_store_cut_as_nobody_cuts_gives_none_of_it(what: str, no_cache: None, tmp_path: Path) -> None:
    own = in_boxes(BOXES[what])
    for act in ASKING.values():
        with pytest.raises(saver.SaverError, match="m@3"):
            act(own, tmp_path)
    for act in LOOKING.values():
        try:
            act(own, tmp_path)
        except saver.SaverError as error:
            if "m@3" not in str(error):
                raise
    assert {(each.model, each.number) for each in own.check().damage} == {("m", 3)}
    assert own.load("m@2")


def test_halves_are_the_whole(no_cache: None, tmp_path: Path) -> None:
    own = in_boxes(lambda tensor, shards: None)
    assert np.array_equal(own.load("m@3")["c"], np.arange(70.0))
