"""`.npz` and `.npy` of NumPy are read without objects, and written so that NumPy reads them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import ARRAYS, OTHERS, all_same, same

import saver
from saver.errors import DamagedError, IncompatibleError, SaverError
from saver.formats import _opening

RECORDS = np.array([(1, 2.5), (3, np.nan)], [("a", "<i2"), ("b", ">f8")])
NESTED = np.zeros(3, [("x", [("y", "<f4", (2,))]), ("z", "S3")])
EVERY = {
    **ARRAYS,
    **OTHERS,
    "records": RECORDS,
    "nested": NESTED,
    "f big": np.asfortranarray(np.ones((3, 2), ">f4")),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.shows("NumPy files", "load")
def test_every_array_without_objects_is_read(save: Callable[..., None], tmp_path: Path) -> None:
    save(tmp_path / "a.npz", **EVERY)
    found = saver.load(tmp_path / "a.npz")
    assert all_same(found, EVERY)
    assert found["fortran"].flags.f_contiguous
    assert saver.describe(tmp_path / "a.npz").parts[0].tensors


@pytest.mark.parametrize("name", EVERY)
def test_every_single_array_is_read(name: str, tmp_path: Path) -> None:
    for version in ((1, 0), (2, 0), (3, 0)):
        with (tmp_path / "a.npy").open("wb") as file:
            np.lib.format.write_array(file, EVERY[name], version)
        assert same(saver.load(tmp_path / "a.npy"), EVERY[name])


@pytest.mark.shows("NumPy files", "save")
def test_it_goes_there_and_back(tmp_path: Path) -> None:
    saver.dump({**ARRAYS, **OTHERS}, tmp_path / "a.saver")
    assert not saver.export(tmp_path / "a.saver", tmp_path / "a.npz").losses
    with np.load(tmp_path / "a.npz") as judged:
        assert all_same(dict(judged), {**ARRAYS, **OTHERS})
    assert all_same(saver.load(tmp_path / "a.npz"), {**ARRAYS, **OTHERS})
    for name, array in {**ARRAYS, **OTHERS}.items():
        saver.dump(array, tmp_path / "b.saver")
        saver.export(tmp_path / "b.saver", tmp_path / "b.npy")
        assert same(np.load(tmp_path / "b.npy"), array), name


def test_equal_arrays_make_equal_files(tmp_path: Path) -> None:
    saver.dump(ARRAYS, tmp_path / "a.saver")
    for name in ("a.npz", "b.npz"):
        saver.export(tmp_path / "a.saver", tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_what_numpy_lacks_is_widened_and_that_is_a_loss(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {
        "bf16": torch.tensor([1.5, float("nan"), -0.0]).bfloat16(),
        "f8": torch.arange(-3.0, 3).to(torch.float8_e4m3fn),
        "half pairs": torch.view_as_complex(torch.ones(2, 2)),
    }
    saver.dump(tensors, tmp_path / "a.saver")
    found = saver.export(tmp_path / "a.saver", tmp_path / "a.npz")
    assert len(found.losses) == 2
    assert all("float32" in loss.what for loss in found.losses)
    with np.load(tmp_path / "a.npz") as judged:
        for name in ("bf16", "f8"):
            assert np.array_equal(judged[name], tensors[name].float().numpy(), equal_nan=True)


def test_texts_of_any_length_are_lost_and_several_arrays_are_too_many(tmp_path: Path) -> None:
    saver.dump({"a": np.array(["x" * 9, None], object), "b": np.ones(2)}, tmp_path / "a.saver")
    assert "$.a" in str(saver.export(tmp_path / "a.saver", tmp_path / "a.npz").losses)
    saver.dump(ARRAYS, tmp_path / "b.saver")
    with pytest.raises(IncompatibleError, match="holds one"):
        saver.export(tmp_path / "b.saver", tmp_path / "b.npy")


def objects_of(value: Any) -> bytes:
    memory = io.BytesIO()
    np.save(memory, value, allow_pickle=True)
    return memory.getvalue()


OBJECTS: list[Any] = [
    np.array([1, "a", None, {"x": [2.5]}], object),
    np.array([[1, 2], ["a", "b"]], object, order="F"),
    np.array([np.arange(3), np.ones(2)], object),
    np.array({"a dict": 1}, object),
    np.zeros((0, 2), object),
]


@pytest.mark.parametrize("value", OBJECTS)
def test_an_array_of_objects_is_read_without_running_its_pickle(value: Any) -> None:
    found = saver.loads(objects_of(value))
    assert (found.dtype, found.shape) == (value.dtype, value.shape)
    assert repr(found.tolist()) == repr(value.tolist())


class Runs:
    def __reduce__(self) -> Any:
        return print, ("it ran",)


def test_an_array_of_objects_that_would_run_code_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(IncompatibleError, match=r"it calls builtins\.print\('it ran'\)"):
        saver.loads(objects_of(np.array([Runs()], object)))
    assert capsys.readouterr().out == ""


def test_a_pickle_of_another_value_is_refused() -> None:
    good = objects_of(np.array([1], object))
    start = good.index(b"\n") + 1
    with pytest.raises(IncompatibleError, match="where an array belongs"):
        saver.loads(good[:start] + b"\x80\x02K\x01.")


@pytest.mark.parametrize("number", range(3))
def test_every_changed_byte_and_every_cut_of_such_a_file_is_an_error_or_a_value(number: int) -> None:
    good = objects_of(OBJECTS[number])
    for at in range(len(good)):
        for changed in (good[:at], good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :]):
            try:
                saver.loads(changed)
            except SaverError:
                continue


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_objects_within_an_archive_are_read_too(save: Callable[..., None], tmp_path: Path) -> None:
    held = {"plain": np.arange(3.0), **{f"objects {at}": value for at, value in enumerate(OBJECTS)}}
    held |= {
        "turned": np.asfortranarray(np.ones((3, 2), ">f4")),
        "records": RECORDS,
        "none": np.zeros((0, 3)),
    }
    save(tmp_path / "a.npz", **held)
    found = saver.load(tmp_path / "a.npz")
    assert [*found] == [*held]
    for name, value in held.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        assert repr(found[name].tolist()) == repr(value.tolist())
    assert found["turned"].flags.f_contiguous
    assert [part.name for part in saver.describe(tmp_path / "a.npz").parts] == [
        part.name for part in saver.describe(plain(tmp_path)).parts
    ]


def plain(path: Path) -> Path:
    np.savez(path / "plain.npz", a=np.ones(2), b=np.ones(3))
    return path / "plain.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_all_that_the_arrays_of_an_archive_would_run_is_named(
    save: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "a.npz", a=np.array([Runs()], object), b=np.ones(2), c=np.array([{}, Runs()], object))
    with pytest.raises(IncompatibleError, match=r"it calls builtins\.print\('it ran'\)"):
        saver.load(tmp_path / "a.npz")
    assert capsys.readouterr().out == ""


def test_fields_of_objects_within_an_archive_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "b.npz", np.array([(1, None)], [("a", "i4"), ("b", "O")]))
    with pytest.raises(IncompatibleError, match="element by element"):
        saver.load(tmp_path / "b.npz")


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_changed_byte_and_every_cut_within_an_archive_is_an_error_or_a_value(method: int) -> None:
    good = objects_of(OBJECTS[0])
    for at in range(len(good)):
        for changed in (good[:at], good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :]):
            try:
                saver.loads(archive(("a.npy", changed), ("b.npy", npy()), method=method))
            except SaverError:
                continue


def npy(array: Any = None, header: bytes | None = None, data: bytes | None = None) -> bytes:
    """A file of one array, or one with another header or other bytes."""
    array = np.arange(4.0) if array is None else array
    memory = io.BytesIO()
    np.save(memory, array)
    if header is None and data is None:
        return memory.getvalue()
    text = header or memory.getvalue()[10 : -array.nbytes]
    return (
        b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + (array.tobytes() if data is None else data)
    )


def described(descr: str = "'<f8'", order: str = "False", shape: str = "(4,)") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()


BAD_ARRAYS = {
    "cut off": npy()[:-1],
    "more than its shape": npy() + b"0",
    "cut off in the header": npy()[:40],
    "only the magic": b"\x93NUMPY",
    "of version 9": b"\x93NUMPY\x09\0" + npy()[8:],
    "huge": npy(header=described(shape="(1 << 60,)")),
    "of a huge shape": npy(header=described(shape="(4611686018427387000, 4611686018427387000)")),
    "of a negative shape": npy(header=described(shape="(-4,)")),
    "of a boolean shape": npy(header=described(shape="(True,)")),
    "of a shape that is a list": npy(header=described(shape="[4]")),
    "of many axes": npy(header=described(shape=f"({'1,' * 99})"), data=b"12345678"),
    "of no dtype": npy(header=described("'nope'")),
    "of a dtype to evaluate": npy(header=described("'f8,(2,)f4'")),
    "of a deep dtype": npy(header=described("[('a'," * 30 + "'f4'" + ")]" * 30)),
    "of a deep literal": npy(header=b"[" * 60_000),
    "of an expression": npy(header=b"__import__('os').getcwd()\n"),
    "of other fields": npy(header=b"{'descr': '<f8'}\n"),
    "not of text": npy(header=b"\xff\xfe\n"),
    "of objects": npy(header=described("'|O'")),
    "of a subclass of objects": npy(header=described("[('a', '|O')]")),
    "of elements without bytes": npy(header=described("'|V0'", shape="(4611686018427387000,)"), data=b""),
    "of texts beyond Unicode": npy(header=described("'<U1'", shape="(8,)"), data=b"\xff" * 32),
    "of flags beyond one": npy(header=described("'|b1'", shape="(32,)"), data=b"\x07" * 32),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_a_bad_array_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(BAD_ARRAYS[name])
    with pytest.raises(SaverError, match=r"a\.npy"):
        saver.load(tmp_path / "a.npy")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
            archive.writestr("a.npy", BAD_ARRAYS[name])
        with pytest.raises(SaverError, match=r"a\.npz"):
            saver.load(tmp_path / "a.npz")


def archive(*entries: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as made:
        for name, data in entries:
            if name in made.namelist():
                with pytest.warns(UserWarning, match="Duplicate"):
                    made.writestr(name, data)
            else:
                made.writestr(name, data)
    return memory.getvalue()


def test_an_archive_that_is_not_one_is_refused(tmp_path: Path) -> None:
    good, path = archive(("a.npy", npy()), ("b.npy", npy())), tmp_path / "a.npz"
    central = good.index(b"PK\1\2")
    bad = {
        "a name twice": archive(("a.npy", npy()), ("a.npy", npy(np.ones(3)))),
        "something else": archive(("a.npy", npy()), ("../../run.py", b"import os")),
        "another local name": good.replace(b"a.npy", b"c.npy", 1),
        "another size": good[: central + 24] + struct.pack("<I", 1 << 31) + good[central + 28 :],
        "another place": good[: central + 42] + struct.pack("<I", 1 << 30) + good[central + 46 :],
        "an encrypted entry": good[: central + 8] + b"\1\0" + good[central + 10 :],
        "an unknown method": good[: central + 10] + b"\x63\0" + good[central + 12 :],
        "no end": good[:-30],
        "changed bytes": good.replace(np.arange(4.0).tobytes(), np.ones(4).tobytes(), 1),
    }
    for name, data in bad.items():
        path.write_bytes(data)
        with pytest.raises(SaverError):
            saver.load(path), pytest.fail(name)
    path.write_bytes(bad["changed bytes"])
    with pytest.raises(DamagedError, match="not what was written"):
        saver.load(path)


def test_any_cut_and_any_changed_byte_is_an_error_or_an_array(tmp_path: Path) -> None:
    """Never another exception; and stored bytes are compared with their sums."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        good = archive(("a.npy", npy()), method=method)
        for at in range(len(good)):
            for data in (good[:at], good[:at] + bytes((good[at] ^ 0x81,)) + good[at + 1 :]):
                (tmp_path / "a.npz").write_bytes(data)
                try:
                    found = saver.load(tmp_path / "a.npz")
                except SaverError:
                    continue
                assert [*map(bytes, found.values())] == [np.arange(4.0).tobytes()]


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_opening, "limit_of", lambda size: 1 << 20)
    monkeypatch.setattr("saver.formats.npz.limit_of", _opening.limit_of)
    np.savez_compressed(tmp_path / "a.npz", *[np.zeros(60_000) for _ in range(3)])
    with pytest.raises(IncompatibleError, match="far more than its size"):
        saver.load(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "b.npz", *[np.zeros(60_000) for _ in range(2)])
    assert len(saver.load(tmp_path / "b.npz")) == 2


def test_the_limit_grows_with_the_file() -> None:
    assert _opening.limit_of(0) == 256 << 20
    assert _opening.limit_of(1 << 30) == 100 << 30
