"""HDF5 files are read without leaving the file, and written so that h5py and Keras read them."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import ARRAYS, all_same, same

import saver
from saver.errors import IncompatibleError, SaverError
from saver.formats import _hdf5_apart

h5py = pytest.importorskip("h5py")

OTHERS = {"complex": np.array([1 + 2j]), "bytes": np.array([b"ab", b""]), "big": np.arange(4, dtype=">f8")}


def test_it_goes_there_and_back(tmp_path: Path) -> None:
    arrays = {**ARRAYS, **OTHERS}
    saver.dump(arrays, tmp_path / "a.saver")
    assert not saver.export(tmp_path / "a.saver", tmp_path / "a.h5").losses
    with h5py.File(tmp_path / "a.h5") as file:
        assert all(same(np.asarray(file[name][()]), array) for name, array in arrays.items())
    assert all_same(saver.load(tmp_path / "a.h5"), arrays)


@pytest.mark.parametrize("options", [{}, {"chunks": True}, {"compression": "gzip", "shuffle": True},
                                     {"compression": "lzf", "fletcher32": True}], ids=range(4))  # fmt: skip
@pytest.mark.shows("HDF5", "load")
def test_what_h5py_wrote_is_read(options: dict[str, Any], tmp_path: Path) -> None:
    arrays = {"deep/in/groups": np.arange(300_000.0).reshape(-1, 3), "x": np.arange(7, dtype="f2")}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **options)
        file.create_dataset("scalar", data=np.float32(2))
        file.create_dataset("records", data=np.array([(1, 2.5)], [("a", "<i2"), ("b", "<f8")]))
        file.create_group("empty")
    found = saver.load(tmp_path / "a.h5")
    assert all(same(found[name], array) for name, array in arrays.items())
    assert found["scalar"] == 2
    assert found["records"]["b"][0] == 2.5


def test_names_that_cannot_be_paths_are_losses(tmp_path: Path) -> None:
    names = ["", "a", "a/b", "/c", "d//e", ".", "f/./g", "h/i", "h"]
    saver.dump({name: np.ones(2) for name in names}, tmp_path / "a.saver")
    found = saver.export(tmp_path / "a.saver", tmp_path / "a.h5")
    assert len(found.losses) == 7
    assert saver.load(tmp_path / "a.h5").keys() == {"a", "h/i"}


def elsewhere(file: Any) -> None:
    file["x"] = h5py.ExternalLink("secret.h5", "/x")


def soft(file: Any) -> None:
    file["y"] = np.ones(3)
    file["x"] = h5py.SoftLink("/y")


def stored_elsewhere(file: Any) -> None:
    file.create_dataset("x", (4,), "u1", external=[("secret.bin", 0, 4)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (4,))
    file.create_virtual_dataset("x", layout)


def circle(file: Any) -> None:
    file.create_group("a")["again"] = file["/"]


def deep(file: Any) -> None:
    for _ in range(150):
        file = file.create_group("a")


HOSTILE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an external link": (elsewhere, "which is not followed"),
    "a soft link": (soft, "which is not followed"),
    "external storage": (stored_elsewhere, "in other files, which are not read"),
    "a virtual data set": (virtual, "in other files, which are not read"),
    "a circle": (circle, "nested in themselves"),
    "deep groups": (deep, "nested in themselves, or too deeply"),
    "nothing stored": (
        lambda file: file.create_dataset("x", (1 << 50,), "f8", chunks=(1 << 10,)),
        "larger than what is stored of it",
    ),
    "few chunks stored": (
        lambda file: file.create_dataset("x", (100,), "f8", chunks=(10,)).write_direct(
            np.ones(10), dest_sel=np.s_[:10]
        ),
        "larger than what is stored of it",
    ),
    "nothing allocated": (
        lambda file: file.create_dataset("x", (1 << 40,), "u1"),
        "and 0 are stored",
    ),
    "a few bytes not allocated": (lambda file: file.create_dataset("x", (9,), "u1"), "and 0 are stored"),
    "a huge chunk": (
        lambda file: file.create_dataset("x", (1 << 30,), "u1", chunks=(1 << 30,)),
        "chunks are larger than",
    ),
    "texts": (lambda file: file.create_dataset("x", data=["a", "b"]), "no fixed size"),
    "references": (
        lambda file: file.create_dataset("x", data=file.ref, dtype=h5py.ref_dtype),
        "no fixed size",
    ),
    "no elements at all": (lambda file: file.create_dataset("x", data=h5py.Empty("f4")), "no fixed size"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_outside_of_the_file_is_read_and_nothing_is_made_up(name: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(4.0)
    (tmp_path / "secret.bin").write_bytes(b"1234")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make, said = HOSTILE[name]
        make(file)
    with pytest.raises(IncompatibleError, match=rf"a\.h5.*{said}"):
        saver.load(tmp_path / "a.h5")


def test_a_file_that_is_cut_off_or_has_a_block_of_the_user_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(500.0)
    data = (tmp_path / "a.h5").read_bytes()
    for end in range(1, len(data), 97):
        (tmp_path / "b.h5").write_bytes(data[:end])
        with pytest.raises(SaverError):
            saver.load(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w", userblock_size=512) as file:
        file["x"] = np.arange(5.0)
    with pytest.raises(SaverError):
        saver.load(tmp_path / "c.h5")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras itself
@pytest.mark.shows("HDF5", "save")
def test_keras_loads_the_weights_and_trains_on(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")

    def made() -> Any:
        layers = [keras.layers.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()]
        model = keras.Sequential([*layers, keras.Sequential([keras.layers.Dense(2)])])
        model.compile(optimizer="adam", loss="mse")
        return model

    model, other = made(), made()
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("f4")
    model.fit(x, x[:, :2], verbose=0), other.fit(x, x[:, :2] + 1, verbose=0)
    saver.dump({"model": model}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.weights.h5")
    assert not any(
        "load_weights" in loss.what
        for loss in saver.export(tmp_path / "a.saver", tmp_path / "b.weights.h5").losses
    )
    said = [loss.what for loss in saver.export(tmp_path / "a.saver", tmp_path / "b.h5").losses]
    assert [each for each in said if "load_weights" in each and ".weights.h5" in each], (
        "Keras goes by the name"
    )
    other.load_weights(tmp_path / "a.weights.h5")
    assert all(np.array_equal(*pair) for pair in zip(other.get_weights(), model.get_weights(), strict=True))
    kept = zip(other.optimizer.variables, model.optimizer.variables, strict=True)
    numpy = keras.ops.convert_to_numpy
    assert all(np.array_equal(numpy(a), numpy(b)) for a, b in kept)
    model.save_weights(tmp_path / "own.weights.h5")
    theirs, ours = saver.load(tmp_path / "own.weights.h5"), saver.load(tmp_path / "a.weights.h5")
    assert all_same(ours, theirs)


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saver.dump(np.ones(3), tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    for call in (lambda: saver.load(tmp_path / "a.h5"),
                 lambda: saver.export(tmp_path / "a.saver", tmp_path / "b.h5")):  # fmt: skip
        with pytest.raises(IncompatibleError, match=r"saver-ml\[hdf5\]"):
            call()
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "a.saver"]


FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="files are read in this process here")


@FORKS
def test_a_reader_that_dies_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3)
    monkeypatch.setattr(_hdf5_apart._template, "reader", lambda theirs, anew: theirs.send(b"."))
    with pytest.raises(IncompatibleError, match=r"a\.h5: .* crashed"):
        saver.load(tmp_path / "a.h5")


@FORKS
class TestApart:
    """h5py's compiled code runs in another process."""

    def test_what_crashes_it_is_refused(self, tmp_path: Path) -> None:
        """HDF5 1.14 ends the process at some of these places."""
        with h5py.File(tmp_path / "a.h5", "w") as file:
            options = {"chunks": (3, 2), "compression": "gzip", "shuffle": True, "fletcher32": True}
            file.create_dataset("c", data=np.arange(40, dtype="i4").reshape(10, 4), **options)
        good, refused = (tmp_path / "a.h5").read_bytes(), 0
        for at in range(1381, 1461, 4):
            (tmp_path / "a.h5").write_bytes(good[:at] + bytes(8) + good[at + 8 :])
            try:
                saver.load(tmp_path / "a.h5")
            except IncompatibleError:
                refused += 1
        assert refused

    def test_a_template_that_ended_is_replaced_and_one_that_cannot_start_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["x"] = np.arange(3)
        assert saver.load(tmp_path / "a.h5")["x"].tolist() == [0, 1, 2]
        assert _hdf5_apart._template._control is not None
        _hdf5_apart._template._control.shutdown(socket.SHUT_RDWR)
        assert saver.load(tmp_path / "a.h5")["x"].tolist() == [0, 1, 2]
        _hdf5_apart._template._control.shutdown(socket.SHUT_RDWR)
        monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
        with pytest.raises(IncompatibleError, match=r"a\.h5: no process to read it"):
            saver.load(tmp_path / "a.h5")

    def test_a_fork_of_this_process_reads_too(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["x"] = np.arange(3)
        assert saver.load(tmp_path / "a.h5")["x"].tolist() == [0, 1, 2]
        with warnings.catch_warnings():  # of Python 3.12, if there are threads
            warnings.simplefilter("ignore")
            child = os.fork()
        if not child:
            os._exit(saver.load(tmp_path / "a.h5")["x"].tolist() != [0, 1, 2])
        assert os.waitpid(child, 0)[1] == 0


def test_without_fork_a_file_is_read_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3)
        file.create_dataset("y", data=np.arange(30), compression="gzip")
    monkeypatch.delattr(os, "fork", raising=False)
    found = saver.load(tmp_path / "a.h5")
    assert found["x"].tolist() == [0, 1, 2]
    assert found["y"].tolist() == list(range(30))
