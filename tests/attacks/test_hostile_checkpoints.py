"""Distributed checkpoints that somebody forged or damaged: read or refused in bounded work, and never run."""

from __future__ import annotations

import dataclasses
import os
import pickle
import random
import shutil
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import saver
from formats.dcp_folders import same

torch = pytest.importorskip("torch")
dcp = pytest.importorskip("torch.distributed.checkpoint")

from torch.distributed.checkpoint.filesystem import _StorageInfo  # noqa: E402
from torch.distributed.checkpoint.metadata import (  # noqa: E402
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

FILE = "__0_0.distcp"
WHOLE = torch.arange(12.0).reshape(4, 3)
BOXES = [((0, 0), (1, 3)), ((1, 0), (3, 2)), ((1, 2), (3, 1))]


def chunk(offsets: tuple[int, ...], sizes: tuple[int, ...]) -> Any:
    return ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tensor in three boxes, which PyTorch reads, and a text."""
    path = tmp_path / "a"
    path.mkdir()
    stored: dict[Any, Any] = {}
    with (path / FILE).open("wb") as file:

        def write(index: Any, value: Any) -> None:
            start = file.tell()
            torch.save(value, file)
            stored[index] = _StorageInfo(FILE, start, file.tell() - start)

        write(MetadataIndex("step"), "seven")
        for number, (offsets, sizes) in enumerate(BOXES):
            ends = [a + n for a, n in zip(offsets, sizes, strict=True)]
            box = WHOLE[offsets[0] : ends[0], offsets[1] : ends[1]].clone()
            write(MetadataIndex("model.w", offsets, number), box)
    values = {
        "step": BytesStorageMetadata(),
        "model.w": TensorStorageMetadata(
            TensorProperties(), torch.Size((4, 3)), [chunk(*box) for box in BOXES]
        ),
    }
    paths = {"step": ("step",), "model.w": ("model", "w")}
    write_metadata(path, Metadata(values, paths, stored))
    return path


def write_metadata(folder: Path, found: Any) -> None:
    (folder / ".metadata").write_bytes(pickle.dumps(found, 4))


def metadata(folder: Path) -> Any:
    return pickle.loads((folder / ".metadata").read_bytes())


def test_what_is_forged_from_is_sound(folder: Path) -> None:
    expected = {"step": "seven", "model": {"w": WHOLE}}
    assert same(saver.load(folder), expected)
    state = {"step": "", "model": {"w": torch.zeros(4, 3)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(state, checkpoint_id=folder)
    assert same(state, expected)


def changed(found: Any, name: str, **fields: Any) -> None:
    """Change what is stored of a value."""
    for index, info in found.storage_data.items():
        if index.fqn == name:
            found.storage_data[index] = dataclasses.replace(info, **fields)
            return


def boxes(*found: Any) -> Callable[[Any], None]:
    def change(each: Any) -> None:
        each.state_dict_metadata["model.w"].chunks[:] = [chunk(*box) for box in found]
        for box in found:
            each.storage_data.setdefault(
                MetadataIndex("model.w", box[0]), next(iter(each.storage_data.values()))
            )

    return change


def shape(*sizes: int) -> Callable[[Any], None]:
    return lambda each: setattr(each.state_dict_metadata["model.w"], "size", torch.Size(sizes))


def paths(**found: Any) -> Callable[[Any], None]:
    return lambda each: each.planner_data.update({k.replace("_", "."): v for k, v in found.items()})


def stored(name: str, **fields: Any) -> Callable[[Any], None]:
    return lambda each: changed(each, name, **fields)


def _again(each: Any) -> None:
    """All boxes lie in the bytes of the first."""
    first = next(info for index, info in each.storage_data.items() if index.fqn == "model.w")
    for index in each.storage_data:
        if index.fqn == "model.w":
            each.storage_data[index] = first


def _missing(each: Any) -> None:
    each.storage_data = {i: info for i, info in each.storage_data.items() if i.offset != torch.Size((1, 2))}


FORGED: dict[str, tuple[Callable[[Any], None], str]] = {
    "a gap": (boxes(*BOXES[:2]), "'model.w'.*2 of them hold 9 of its 12 elements"),
    "an overlap": (
        boxes(BOXES[0], ((1, 0), (3, 3)), BOXES[2]), r"'model.w'.*\[1:4, 2:3\] and \[1:4, 0:3\] overlap"
    ),
    "a box twice": (boxes(*BOXES, BOXES[2]), "'model.w'.*overlap"),
    "a box too far": (boxes(BOXES[0], BOXES[1], ((2, 2), (3, 1))), r"'model.w'.*\[2:5, 2:3\].*beyond"),
    "a box of other axes": (boxes(((0,), (4,))), "'model.w'.*beyond"),
    "no box": (boxes(), "'model.w'.*has no box"),
    "a box that is not stored": (_missing, r"'model.w'.*\[1, 2\].*nothing is stored"),
    "a smaller shape": (shape(3, 3), "'model.w'.*beyond"),
    "a larger shape": (shape(5, 3), "'model.w'.*12 of its 15"),
    "a huge shape": (shape(1 << 50, 1 << 50), "'model.w'"),
    "another shape": (shape(12), "'model.w'.*beyond"),
    "the same bytes twice": (_again, "'model.w' and 'model.w' are stored in the same bytes"),
    "bytes that overlap": (stored("model.w", offset=5), "'step' and 'model.w' are stored in the same bytes"),
    "a file above": (stored("step", relative_path="../a/__0_0.distcp"), "not a file in its own folder"),
    "a whole path": (stored("step", relative_path="/etc/passwd"), "not a file in its own folder"),
    "a path of Windows": (stored("step", relative_path="..\\x"), "not a file in its own folder"),
    "the folder": (stored("step", relative_path="."), "not a file in its own folder"),
    "no name": (stored("step", relative_path=""), "not a file in its own folder"),
    "a zero": (stored("step", relative_path="a\0b"), "not a file in its own folder"),
    "no text": (stored("step", relative_path=7), "which bytes of which file"),
    "another file": (stored("step", relative_path="x.distcp"), "no such file"),
    "the metadata": (stored("step", relative_path=".metadata", length=9), "not an archive of torch.save"),
    "a negative offset": (stored("step", offset=-1), "which bytes of which file"),
    "a length beyond the file": (stored("step", length=1 << 40), "same bytes|cut off"),
    "a length that is cut": (stored("step", length=700), "zip archive is not sound"),
    "an empty length": (stored("step", length=0), "not an archive of torch.save"),
    "a huge offset": (stored("step", offset=1 << 80), "cut off"),
    "a compressed value": (stored("step", transform_descriptors=["zstd"]), "'step' was transformed.*zstd"),
    "a path below a value": (paths(model_w=("step", "w")), "below another value"),
    "a path of another value": (paths(model_w=("step",)), "where another value does"),
    "no path": (paths(step=()), "path of 'step'"),
    "a path that begins with a number": (paths(step=(0,)), "begins with a number"),
    "a huge number in a path": (paths(step=("a", 1 << 40)), "not those of lists"),
    "a negative number in a path": (paths(step=("a", -1)), "not those of lists"),
    "numbers and names": (paths(step=("a", 0), model_w=("a", "w")), "not those of lists"),
    "a deep path": (paths(step=("a",) * 5000), "5,000 levels deep|4,999 levels deep"),
    "a list as a path": (paths(step=["step"]), "path of 'step'"),
    "another dtype": (
        lambda each: setattr(each.state_dict_metadata["model.w"].properties, "dtype", torch.int32),
        "'model.w'.*float32.*int32",
    ),
    "no dict of values": (lambda each: setattr(each, "state_dict_metadata", []), "is not a dict"),
    "no dict of places": (lambda each: setattr(each, "storage_data", None), "is not a dict"),
    "a tensor that is an object": (
        lambda each: each.state_dict_metadata.update(step=each.state_dict_metadata["model.w"]), "'step'"
    ),
    "an object that is a tensor": (
        lambda each: each.state_dict_metadata.update({"model.w": BytesStorageMetadata()}), "'model.w'"
    ),
    "a value of another kind": (lambda each: each.state_dict_metadata.update(x=1), "TensorStorageMetadata"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_what_contradicts_itself_is_refused(name: str, folder: Path) -> None:
    change, told = FORGED[name]
    found = metadata(folder)
    change(found)
    write_metadata(folder, found)
    with pytest.raises(saver.SaverError, match=told):
        saver.load(folder)


class Evil:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch exploded",)


PLACES: dict[str, Callable[[Any], None]] = {
    "beside": lambda each: setattr(each, "storage_meta", Evil()),
    "as a path": lambda each: each.planner_data.update(step=Evil()),
    "as a value": lambda each: each.state_dict_metadata.update(x=Evil()),
    "in a shape": lambda each: setattr(each.state_dict_metadata["model.w"], "size", Evil()),
}


@pytest.mark.parametrize("name", PLACES)
def test_nothing_in_the_metadata_is_run(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = metadata(folder)
    PLACES[name](found)
    write_metadata(folder, found)
    with pytest.raises(saver.IncompatibleError, match=r"asks for code to be run.*system\('touch exploded'\)"):
        saver.load(folder)
    assert not (tmp_path / "exploded").exists()


def test_nothing_in_an_object_is_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = metadata(folder)
    torch.save({"a": Evil()}, folder / "x.distcp")
    changed(found, "step", relative_path="x.distcp", offset=0, length=(folder / "x.distcp").stat().st_size)
    write_metadata(folder, found)
    with pytest.raises(saver.IncompatibleError, match=r"'step'.*asks for code to be run.*touch exploded"):
        saver.load(folder)
    assert not (tmp_path / "exploded").exists()


OTHERS: dict[str, Callable[[], Any]] = {
    "a dict": lambda: {"a": 1},
    "another shape": lambda: torch.ones(3, 1),
    "another dtype": lambda: torch.ones(1, 3, dtype=torch.float64),
    "a sparse tensor": lambda: torch.ones(1, 3).to_sparse(),
    "a parameter": lambda: torch.nn.Parameter(torch.ones(1, 3)),
    "a tensor that is repeated": lambda: torch.ones(1).expand(1, 3),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_the_box_is_refused(name: str, folder: Path) -> None:
    found = metadata(folder)
    torch.save(OTHERS[name](), folder / "x.distcp")
    changed(found, "model.w", relative_path="x.distcp", offset=0, length=(folder / "x.distcp").stat().st_size)
    write_metadata(folder, found)
    with pytest.raises(saver.IncompatibleError, match=r"'model.w', \[0:1, 0:3\]"):
        saver.load(folder)


def test_links_lead_to_files_alone(folder: Path) -> None:
    shutil.move(folder / FILE, folder / "held")
    (folder / FILE).symlink_to("held")
    assert same(saver.load(folder)["model"]["w"], WHOLE)
    for target in (FILE, "..", "missing", "/dev/zero"):
        (folder / FILE).unlink()
        (folder / FILE).symlink_to(target)
        with pytest.raises(saver.SaverError):
            saver.load(folder)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder: Path) -> None:
    (folder / FILE).unlink()
    os.mkfifo(folder / FILE)
    with pytest.raises(saver.SaverError, match="pipe"):
        saver.load(folder)


@pytest.mark.slow
@pytest.mark.shows("PyTorch distributed checkpoints", "hostile files tried")
def test_metadata_with_any_byte_changed_or_cut_is_read_or_refused(
    folder: Path, record_property: Callable[[str, int], None]
) -> None:
    good, chance = (folder / ".metadata").read_bytes(), random.Random(0)
    data = [good[:at] for at in range(len(good))]
    data += [
        good[:at] + bytes([value]) + good[at + 1 :]
        for at in range(len(good))
        for value in (chance.randrange(256), good[at] ^ 1, 0xFF)
    ]
    record_property("hostile files", len(data))
    for each in data:
        (folder / ".metadata").write_bytes(each)
        try:
            saver.load(folder)
        except saver.SaverError:
            continue


@pytest.mark.slow
def test_a_file_with_any_byte_changed_or_cut_holds_the_same_or_is_refused(folder: Path) -> None:
    good, chance = (folder / FILE).read_bytes(), random.Random(0)
    for at in range(0, len(good), 3):
        for each in (good[:at], good[:at] + bytes([chance.randrange(256)]) + good[at + 1 :]):
            (folder / FILE).write_bytes(each)
            try:
                found = saver.load(folder)
            except saver.SaverError:
                continue
            assert same(found, {"step": "seven", "model": {"w": WHOLE}})


def test_metadata_that_repeats_itself_takes_little_memory(folder: Path) -> None:
    """A list of boxes that thousands of tensors share, and boxes that are listed again and again."""
    for many, values, told in ((100_000, 1, "more boxes than it has room for"), (1000, 1000, "has no box")):
        found = metadata(folder)
        described = found.state_dict_metadata["model.w"]
        described.chunks[:] = [chunk((0, 0), (0, 3))] * many
        found.state_dict_metadata |= {f"x{at}": described for at in range(values)}
        write_metadata(folder, found)
        tracemalloc.start()
        with pytest.raises(saver.IncompatibleError, match=told):
            saver.load(folder)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
        tracemalloc.stop()
