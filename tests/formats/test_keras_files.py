"""Models go to Keras' own files and come from them; Keras itself is the judge."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import IncompatibleError, UntrustedError

pytest.importorskip("h5py")
if importlib.util.find_spec("keras") is None:
    pytest.skip("could not import 'keras'", allow_module_level=True)

sys.path.append(str(Path(__file__).parents[1] / "families"))
import keras
import keras_models
from keras import layers

pytestmark = [pytest.mark.xdist_group("keras"), pytest.mark.slow, pytest.mark.timeout(600),
              pytest.mark.filterwarnings("ignore")]  # fmt: skip

OLDER = Path(__file__).parents[1] / "golden" / "of_keras"
CLASSES = {"tests.clipped": keras_models.clipped, "tests.squared": keras_models.squared}


def words(weighted: bool = True) -> Any:
    """What layers have learned from data, which Keras keeps in files of their own."""
    text, numbers = keras.Input((), dtype="string", name="t"), keras.Input((4,), name="in")
    adapted, given, counted = (
        layers.TextVectorization(name="v"), layers.StringLookup(vocabulary=["q", "r"], name="g"),
        layers.IntegerLookup(name="i"),
    )  # fmt: skip
    other = layers.TextVectorization(output_mode="tf_idf" if weighted else "multi_hot", name="w")
    for layer in (adapted, other):
        layer.adapt(["hello world", "a b c", "ünf a"])
    counted.adapt(np.array([3, 3, 5, 900]))
    scale = layers.Normalization(name="n")
    scale.adapt(keras_models.rows())
    outputs = [adapted(text), other(text), given(text), counted(numbers), scale(numbers)]
    return keras.Model([text, numbers], outputs, name="words")


def nested() -> Any:
    """A model within a model, compiled itself, shared layers, and a frozen one."""
    shared = layers.Dense(4, name="shared")
    first = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="a"), layers.Dense(3, name="own")], name="first"
    )
    first.compile(keras.optimizers.RMSprop(name="r"), "mae")
    first.layers[1].trainable = False
    inputs = keras.Input((4,), name="in")
    found = layers.Concatenate(name="c")([first(shared(shared(inputs))), first(inputs)])
    model = keras.Model(inputs, layers.Dense(2, name="out")(found), name="nested")
    model.compile(keras.optimizers.Adam(name="adam"), "mse")
    model.fit(keras_models.rows(), keras_models.targets(), verbose=0)
    return model


MODELS: dict[str, Callable[[], Any]] = {
    **{name: make for name, make in keras_models.MODELS.items() if name != "alone"},
    "nested": nested,
    "words": words,
    "unweighted": lambda: words(weighted=False),
}


def rows_for(model: Any) -> Any:
    rows = keras_models.rows()
    if model.name != "words":
        return rows
    return [keras.ops.convert_to_tensor(["a b", "world"]), keras.ops.convert_to_tensor(rows[:2])]


def answers(model: Any) -> list[bytes]:
    found = model(rows_for(model))
    return [
        keras.ops.convert_to_numpy(each).tobytes() for each in (found if type(found) is list else [found])
    ]


def variables(model: Any) -> list[bytes]:
    """Those of a model and of its optimizer."""
    own = model.optimizer.variables if getattr(model, "compiled", False) else []
    return [keras.ops.convert_to_numpy(each).tobytes() for each in (*model.weights, *own)]


def loaded(path: Path) -> Any:
    return saver.load(path, trust=keras_models.TRUST, classes=CLASSES)


def by_keras(path: Path) -> Any:
    return keras.models.load_model(path, {"Unregistered": keras_models.Unregistered})


def train(model: Any) -> list[bytes]:
    model.fit(keras_models.rows(), keras_models.targets(), batch_size=4, shuffle=False, verbose=0)
    return variables(model)


def state(path: Path, folder: Path) -> Any:
    saver.export(path, folder / "state.json")
    found = json.loads((folder / "state.json").read_text())
    return found["parts"]["model"]["tree"]["state"], found["tensors"]


UNSAID = {"generators", "frozen", "adapters", "$order"}
"""What files of Keras do not say."""


@pytest.mark.parametrize("name", MODELS)
def test_a_file_of_keras_becomes_what_is_saved_of_the_model(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    model.save(tmp_path / "a.keras")
    saver.dump(model, tmp_path / "a.saver")
    (ours, our_tensors), (theirs, their_tensors) = (state(tmp_path / f"a.{each}", tmp_path) for each in
                                                    ("saver", "keras"))  # fmt: skip
    text = json.dumps(ours).replace("keras_models:clipped", "tests:clipped")
    ours = json.loads(text.replace("keras_models:squared", "tests:squared"))
    if name == "frozen":  # it was built before
        ours["optimizers"][""]["places"] = "trainable"
    if name in ("words", "unweighted"):  # of integers, and those that the configuration has
        ours["vocabularies"] = theirs["vocabularies"] = None
    assert {key: ours[key] for key in ours if key not in UNSAID} == {
        key: theirs[key] for key in theirs if key not in UNSAID
    }
    assert {key: our_tensors[key] for key in their_tensors} == their_tensors
    back = loaded(tmp_path / "a.keras")
    assert answers(back) == answers(model)
    if name != "adapted":  # which has other variables once it is merged
        assert variables(back) == variables(model)
    assert [layer.trainable for layer in back.layers] == [layer.trainable for layer in model.layers]


@pytest.mark.parametrize("name", MODELS)
def test_keras_loads_what_is_written(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    saver.dump(model, tmp_path / "a.saver")
    losses = saver.export(tmp_path / "a.saver", tmp_path / "a.keras").losses
    lost = {"adapted": 1, "attentive": 1, "recurrent": 2, "sequential": 2, "frozen": 3, "subclassed": 1,
            "unregistered": 1}  # fmt: skip
    assert len(losses) == lost.get(name, 0)
    found = by_keras(tmp_path / "a.keras")
    assert answers(found) == answers(model)
    if name not in (
        "untrained",
        "frozen",
        "adapted",
    ):  # Keras forgets these optimizers in files of its own, too
        assert variables(found) == variables(model)
    saver.export(tmp_path / "a.keras", tmp_path / "b.keras")
    assert answers(by_keras(tmp_path / "b.keras")) == answers(model)


TRAINED = (
    pytest.param("functional", marks=pytest.mark.shows("Files of Keras", "save", "load")),
    "sequential", "subclassed", "mixed", "nested",
)  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_training_goes_on_from_each_file_as_from_that_of_keras(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    model.save(tmp_path / "a.keras")
    saver.dump(model, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "b.keras")
    expected = train(by_keras(tmp_path / "a.keras"))
    assert train(by_keras(tmp_path / "b.keras")) == expected
    assert train(loaded(tmp_path / "a.keras")) == expected


@pytest.mark.parametrize("name", ["sequential", "functional", "mixed", "nested", "unweighted"])
def test_two_files_are_written_and_read(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    saver.dump(model, tmp_path / "a.saver")
    assert saver.export(tmp_path / "a.saver", tmp_path / "b.json", format="keras_json").bytes
    assert sorted(each.name for each in tmp_path.glob("b*")) == ["b.json", "b.weights.h5"]
    found = keras.models.model_from_json((tmp_path / "b.json").read_text())
    found.load_weights(tmp_path / "b.weights.h5")
    assert answers(found) == answers(model)
    assert variables(found) == variables(model)
    (tmp_path / "c.json").write_text(model.to_json())
    model.save_weights(tmp_path / "c.weights.h5")
    for each in ("b.json", "b", *(["c.json", "c"] if name != "unweighted" else [])):
        back = loaded(tmp_path / each)
        assert answers(back) == answers(model)
        assert variables(back) == variables(model)


@pytest.mark.parametrize("name", ["sequential", "functional", "mixed", "recurrent", "attentive", "quantized"])
def test_an_hdf5_file_of_a_whole_model_is_that_model(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    model.save(tmp_path / "a.h5")
    back = loaded(tmp_path / "a.h5")
    assert answers(back) == answers(model)
    assert variables(back) == variables(model)
    saver.dump(back, tmp_path / "b.saver")
    saver.export(tmp_path / "b.saver", tmp_path / "b.keras")
    assert answers(by_keras(tmp_path / "b.keras")) == answers(model)
    with pytest.raises(IncompatibleError, match="load it"):
        saver.export(tmp_path / "a.h5", tmp_path / "c.keras")


@pytest.mark.parametrize("name", [f"{each}.h5" for each in ("seq", "fun", "rnn", "conv", "mha")]
                         + ["fun.keras", "mha.keras", "list.json"])  # fmt: skip
def test_models_of_keras_2_predict_what_they_did(name: str) -> None:
    model = saver.load(OLDER / name)
    rows = np.load(OLDER / "rows.npy")
    found = model.predict(rows if len(model.input_shape) == 2 else rows[..., None], verbose=0)
    np.testing.assert_allclose(found, np.load(OLDER / f"{name.partition('.')[0]}.npy"), atol=1e-6)
    if name != "list.json":
        assert int(model.optimizer.iterations) == 0 or len(model.optimizer.variables) > 2
        model.fit(rows if len(model.input_shape) == 2 else rows[..., None], found, verbose=0)


def test_words_with_line_breaks_are_written_where_keras_reads_them(tmp_path: Path) -> None:
    text = keras.Input((), dtype="string")
    lookup = layers.StringLookup(name="g")
    lookup.set_vocabulary(["a\nb", "c\x85", "d"])
    model = keras.Model(text, lookup(text))
    saver.dump(model, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.keras")
    asked = keras.ops.convert_to_tensor(["d", "a\nb", "c\x85", "e"])
    assert by_keras(tmp_path / "a.keras")(asked).numpy().tolist() == [3, 1, 2, 0]
    assert saver.load(tmp_path / "a.keras")(asked).numpy().tolist() == [3, 1, 2, 0]


def test_what_is_not_one_model_of_keras_is_not_written(tmp_path: Path) -> None:
    saver.dump({"a": np.ones(3)}, tmp_path / "a.saver")
    saver.dump(keras_models.alone(), tmp_path / "b.saver")
    for name, format in (("c.keras", None), ("c.json", "keras_json")):
        with pytest.raises(IncompatibleError, match="one model of Keras"):
            saver.export(tmp_path / "a.saver", tmp_path / name, format=format)
    assert not list(tmp_path.glob("c*"))
    saver.export(tmp_path / "b.saver", tmp_path / "c.keras")


def test_files_are_looked_at_without_keras(tmp_path: Path) -> None:
    keras_models.subclassed().save(tmp_path / "a.keras")
    keras_models.functional().save(tmp_path / "b.h5")
    program = (
        "import sys; sys.modules.update(keras=None, tensorflow=None, jax=None, torch=None)\n"
        "import saver\n"
        "for name in ('a.keras', 'b.h5'):\n"
        "    assert 'keras.layer' in str(saver.describe(name)) or saver.describe(name).untrusted\n"
        "    saver.verify(name)\n"
        "assert saver.diff('a.keras', 'a.keras').parts[0].status == 'same'\n"
        "store = saver.Saver('store'); store.import_('a.keras', 'net')\n"
        "store.export('net', 'c.keras')\n"
        "assert not [name for name in sys.modules if name.startswith('keras_models')]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert answers(by_keras(tmp_path / "c.keras")) == answers(by_keras(tmp_path / "a.keras"))
    with pytest.raises(UntrustedError, match="keras_models"):
        saver.load(tmp_path / "a.keras")


def test_an_archive_that_is_compressed_is_read(tmp_path: Path) -> None:
    model = keras_models.untrained()
    model.save(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as old, zipfile.ZipFile(
        tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED
    ) as new:  # fmt: skip
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert answers(loaded(tmp_path / "b.keras")) == answers(model)
