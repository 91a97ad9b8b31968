"""SavedModels and models of TensorFlow Lite that are written from models of Keras predict as they do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import saver
from saver.errors import CannotWriteError, IncompatibleError, UntrustedError
from saver.storages.memory import MemoryStorage

keras = pytest.importorskip("keras")
tensorflow = pytest.importorskip("tensorflow")

# of Keras itself
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Arrays = dict[str, NDArray[Any]]


def numbers(*shape: int) -> NDArray[Any]:
    return np.random.default_rng(len(shape)).normal(size=shape).astype("f4")


def dense() -> tuple[Any, Any]:
    layers = [keras.layers.Dense(4, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    return keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2, "softmax")]), numbers(5, 3)


def images() -> tuple[Any, Any]:
    L = keras.layers
    layers = [L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(2)]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers]), numbers(2, 8, 8, 3)


def words() -> tuple[Any, Any]:
    given = keras.Input((6,), dtype="int32", name="words")
    inner = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(20, 4)(given))
    return keras.Model(given, keras.layers.Dense(1)(inner)), np.arange(12, dtype="i4").reshape(2, 6)


def recurrent() -> tuple[Any, Any]:
    L = keras.layers
    layers = [L.Bidirectional(L.LSTM(3, return_sequences=True)), L.GRU(2)]
    return keras.Sequential([keras.Input((5, 3)), *layers]), numbers(1, 5, 3)


def several() -> tuple[Any, Any]:
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    outputs = {"one": keras.layers.Dense(1)(joined), "two": keras.layers.Dense(2)(joined)}
    return keras.Model({"a": a, "b": b}, outputs), {"a": numbers(2, 4), "b": numbers(2, 3)}


@keras.saving.register_keras_serializable("tests")
class Own(keras.Model):  # type: ignore[misc, name-defined]
    """A model of a user."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inner = keras.layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.inner(x)


def own() -> tuple[Any, Any]:
    model = Own()
    model(numbers(2, 3))
    return model, numbers(2, 3)


MODELS = [dense, images, words, recurrent, several, own]


def of_saved_model(path: Path, given: Arrays) -> list[NDArray[Any]]:
    """What TensorFlow says."""
    signature = tensorflow.saved_model.load(str(path)).signatures["serving_default"]
    names = signature.structured_input_signature[1]
    arrays = given if given.keys() == names.keys() else dict(zip(names, given.values(), strict=True))
    found = signature(**{name: tensorflow.constant(array) for name, array in arrays.items()})
    return [found[name].numpy() for name in sorted(found)]


def of_tflite(path: Path, given: Arrays) -> list[NDArray[Any]]:
    """What the interpreter of LiteRT says, which has no other operations than its own."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    runner = litert.Interpreter(str(path)).get_signature_runner("serving_default")
    names = runner.get_input_details()
    arrays = given if given.keys() == names.keys() else dict(zip(names, given.values(), strict=True))
    found = runner(**arrays)
    return [found[name] for name in sorted(found)]


JUDGES: dict[str, Callable[[Path, Arrays], list[NDArray[Any]]]] = {
    "savedmodel": of_saved_model,
    "tflite": of_tflite,
}
TITLES = {"savedmodel": "a SavedModel of TensorFlow", "tflite": "a model of TensorFlow Lite"}


SHOWN = {
    "savedmodel": pytest.mark.shows("TensorFlow SavedModel", "save"),
    "tflite": pytest.mark.shows("TensorFlow Lite", "save"),
}
EVERY = [
    pytest.param(made, format, marks=mark if made is dense else ())
    for format, mark in SHOWN.items()
    for made in MODELS
]
"""Each model in each format; one of each stands for the README's table."""


@pytest.mark.slow
@pytest.mark.parametrize(("made", "format"), EVERY)
def test_predictions_are_the_same(made: Callable[[], tuple[Any, Any]], format: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    model, given = made()
    expected = keras.tree.flatten(model(given, training=False))
    saver.dump(model, tmp_path / "a.saver")
    out = tmp_path / ("out.tflite" if format == "tflite" else "out")
    options: Any = {"trust": [f"{Own.__module__}.Own"], "example": given} if made is own else {}
    done = saver.export(tmp_path / "a.saver", out, format=format, **options)
    found = JUDGES[format](out, given if isinstance(given, dict) else {"": given})
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, keras.ops.convert_to_numpy(theirs), rtol=1e-4, atol=1e-5)
    assert "all but what it computes in inference" in done.losses[0].what
    several_rows = format == "savedmodel" or made is not recurrent
    assert [loss.what for loss in done.losses[1:]] == ([] if several_rows else ["it takes one row at a time"])
    files = [path for path in (out.rglob("*") if out.is_dir() else [out]) if path.is_file()]
    assert done.bytes == sum(path.stat().st_size for path in files)
    assert not any(os.fsencode(tmp_path) in path.read_bytes() for path in files)


@pytest.mark.parametrize("format", JUDGES)
def test_what_cannot_be_written_is_said_and_nothing_is_left(format: str, tmp_path: Path) -> None:
    parts = {"layer": keras.layers.Dense(2), "own": own()[0], "plain": np.ones(2), "dense": dense()[0]}
    saver.dump(parts, tmp_path / "a.saver")
    trust = [f"{Own.__module__}.Own"]
    for chosen, allowed, said in (
        ("layer", (), "Dense is not a model; put it in a keras.Sequential"),
        ("own", trust, "Own does not say what its inputs are; pass some"),
        ("plain", (), f"cannot be written as {TITLES[format]}, which is written from objects of keras"),
        (None, trust, "holds one object; choose its part"),
    ):
        picked = None if chosen is None else [chosen]
        with pytest.raises(IncompatibleError, match=said):
            saver.export(tmp_path / "a.saver", tmp_path / "out", format=format, parts=picked, trust=allowed)
    with pytest.raises(UntrustedError, match="Own"):
        saver.export(tmp_path / "a.saver", tmp_path / "out", format=format, parts=["own"])
    assert os.listdir(tmp_path) == ["a.saver"]


def test_an_example_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    saver.dump(own()[0], tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match="cannot be written as a SavedModel"):
        saver.export(tmp_path / "a.saver", tmp_path / "out", format="savedmodel", example=numbers(2, 7),
                     trust=[f"{Own.__module__}.Own"])  # fmt: skip
    assert os.listdir(tmp_path) == ["a.saver"]


class Without:
    """Takes TensorFlow away while a module is imported, which Keras itself may need before."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == self._module:
            raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")


@pytest.mark.parametrize("format", JUDGES)
def test_a_missing_library_names_the_extra(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver.dump(dense()[0], tmp_path / "a.saver")
    module = f"saver.families.keras.{format}"
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Without(module), *sys.meta_path])
    with pytest.raises(IncompatibleError, match=r"the package tensorflow, .*saver-ml\[tensorflow\]"):
        saver.export(tmp_path / "a.saver", tmp_path / "out", format=format)
    assert os.listdir(tmp_path) == ["a.saver"]


@pytest.mark.slow
def test_a_version_is_written_and_a_folder_that_is_not_empty_stays(tmp_path: Path) -> None:
    store = saver.Saver(MemoryStorage())
    store.save("net", {"model": dense()[0], "scaler": np.ones(3)})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(CannotWriteError, match="not empty"):
        store.export("net", tmp_path / "out", format="savedmodel", parts=["model"])
    (tmp_path / "out" / "mine").unlink()
    store.export("net", tmp_path / "out", format="savedmodel", parts=["model"])
    assert sorted(os.listdir(tmp_path / "out")) == ["assets", "fingerprint.pb", "saved_model.pb", "variables"]
    assert os.listdir(tmp_path) == ["out"]
