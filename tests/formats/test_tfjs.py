"""Models of Keras that are written for TensorFlow.js predict the same there, and come back as models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from tfjs_models import Built, models, numbers, shaken

import saver
from saver.errors import IncompatibleError, SaverError
from saver.formats.tfjs.layers import LAYERS

keras = pytest.importorskip("keras")


# of Keras itself
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.xdist_group("tfjs"),  # all models are written once, for all tests
]

MODELS_OF_KERAS = models(keras)
CLOSE = {"halves": 2e-3}
"""How far predictions may be apart, relative to the largest, for those that compute in fewer bits."""


class Written(NamedTuple):
    """A model in a folder, what it predicts, and what the export lost."""

    folder: Path
    predicted: list[NDArray[Any]]
    trainable: list[bool]
    losses: list[str]
    job: dict[str, Any]


def predictions(model: Any, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """What a model makes of its inputs, in order."""
    given: Any = inputs[0] if len(inputs) == 1 else inputs
    if type(getattr(model, "_inputs_struct", None)) is dict:
        given = dict(zip(sorted(model._inputs_struct), inputs, strict=True))
    found = model(given, training=False)
    return [keras.ops.convert_to_numpy(each).astype("f4") for each in keras.tree.flatten(found)]


def close(name: str, found: list[NDArray[Any]], expected: list[NDArray[Any]]) -> bool:
    return len(found) == len(expected) and all(
        a.shape == b.shape and np.abs(a - b).max() <= CLOSE.get(name, 1e-5) * (1 + np.abs(b).max())
        for a, b in zip(found, expected, strict=True)
    )


def written(name: str, place: Path, made: Callable[[], Built]) -> Written:
    # so that Keras counts the names of layers anew; collecting garbage took a second where much is imported
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    model, inputs = made()
    saver.dump(model, place / "a.saver")
    folder = place / f"{len(os.listdir(place))}"
    found = saver.export(place / "a.saver", folder, format="tfjs")
    given = [{"shape": each.shape, "dtype": "int32" if each.dtype.kind == "i" else "float32",
              "data": each.ravel().tolist()} for each in inputs]  # fmt: skip
    trainable = [each.trainable for each in model.weights]
    losses = [str(loss) for loss in found.losses if "random generators" not in loss.what]
    return Written(
        folder, predictions(model, inputs), trainable, losses, {"folder": str(folder), "inputs": given}
    )


@pytest.fixture(scope="module")
def all_written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    place = tmp_path_factory.mktemp("tfjs")
    return {name: written(name, place, made) for name, made in MODELS_OF_KERAS.items()}


@pytest.fixture(scope="module")
def judged(all_written: dict[str, Written], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What TensorFlow.js says of each, in one process of Node."""
    node = shutil.which("node")
    if (
        node is None
        or subprocess.run([node, "-e", "require('@tensorflow/tfjs')"], capture_output=True).returncode
    ):
        pytest.skip("needs Node, and NODE_PATH with the result of: npm install @tensorflow/tfjs")
    jobs = tmp_path_factory.mktemp("jobs") / "jobs.json"
    jobs.write_text(json.dumps([each.job for each in all_written.values()]))
    program = Path(__file__).with_name("tfjs_predict.js")
    found = subprocess.run([node, program, jobs], capture_output=True, text=True, timeout=600, check=True)
    return dict(zip(all_written, json.loads(found.stdout.splitlines()[-1]), strict=True))


@pytest.mark.slow
@pytest.mark.shows("TensorFlow.js", "save")
@pytest.mark.parametrize("name", MODELS_OF_KERAS)
def test_tensorflow_js_predicts_the_same(
    name: str, all_written: dict[str, Written], judged: dict[str, Any]
) -> None:
    assert "error" not in judged[name], judged[name]["error"]
    outputs = [np.array(each["data"], "f4").reshape(each["shape"]) for each in judged[name]["outputs"]]
    assert close(name, outputs, all_written[name].predicted)


@pytest.mark.slow
@pytest.mark.shows("TensorFlow.js", "load")
@pytest.mark.parametrize("name", MODELS_OF_KERAS)
def test_it_comes_back_as_a_model_of_keras(name: str, all_written: dict[str, Written]) -> None:
    each = all_written[name]
    model = saver.load(each.folder)
    inputs = [np.array(given["data"], given["dtype"]).reshape(given["shape"]) for given in each.job["inputs"]]
    assert close(name, predictions(model, inputs), each.predicted)
    assert [weight.trainable for weight in model.weights] == each.trainable


@pytest.mark.slow
def test_only_what_cannot_be_held_is_lost(all_written: dict[str, Written]) -> None:
    lost = {name: each.losses for name, each in all_written.items() if each.losses}
    assert lost == {
        "halves": ["$.model.dense: it computes in float32, not in mixed_float16"],
        "models_within_models": [
            "$.model.functional.dense: its name is written as 'dense_1'",
            "$.model.tail.dense: its name is written as 'dense_2'",
        ],
        "odd_names": [
            "$.model.in put: its name is written as 'in_put'",
            "$.model.constructor: its name is written as 'constructor_1'",
            "$.model.ünï cödé: its name is written as 'n__c_d_'",
            "$.model._hidden: its name is written as 'hidden'",
            "$.model.toString: its name is written as 'toString_1'",
            "$.model.a b: its name is written as 'a_b'",
        ],
        "several_inputs_and_outputs": [
            "$.model: the names of its inputs and outputs: they are lists, by name"
        ],
    }


@pytest.mark.slow
def test_shards_are_of_4_mib(all_written: dict[str, Written]) -> None:
    sizes = {path.name: path.stat().st_size for path in all_written["large"].folder.iterdir()}
    count = len(sizes) - 1
    names = [f"group1-shard{number}of{count}.bin" for number in range(1, count + 1)]
    assert [sizes[name] for name in names[:-1]] == [4 << 20] * (count - 1)
    assert sum(sizes[name] for name in names) == 4 * (40 * 1500 + 1500 + 1500 * 1200 + 1200 + 1200 * 3 + 3)
    assert [path.name for path in all_written["no_weights"].folder.iterdir()] == ["model.json"]


def test_every_layer_of_the_table_is_tested() -> None:
    tested = {name.partition(" ")[0] for name in MODELS_OF_KERAS}
    assert {*LAYERS, "Bidirectional", "TimeDistributed"} - tested == {"Embedding", "Masking"}
    assert "masked_deeply" in tested  # which has both


def sequential(*layers: Any, shape: tuple[int, ...] = (4,)) -> Any:
    return shaken(keras.Sequential([keras.Input(shape), *layers]))


def masked(layer: Any) -> Any:
    return sequential(keras.layers.Masking(), layer, shape=(5, 3))


def own_mask() -> Any:
    x, words = keras.Input((5, 3)), keras.Input((5,))
    return keras.Model([x, words], keras.layers.LSTM(2)(x, mask=keras.ops.not_equal(words, 3)))


def training() -> Any:
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dropout(0.5)(x, training=True))


def constant() -> Any:
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(2)(x + 1))


def broadcast() -> Any:
    x, y = keras.Input((4,)), keras.Input((1,))
    return keras.Model([x, y], keras.layers.Dense(2)(x * y))


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a layer that is not there": (lambda L: sequential(L.GroupNormalization(2)), "no GroupNormalization"),
    "attention": (lambda L: masked_attention(L), "no MultiHeadAttention"),
    "reset_after": (lambda L: sequential(L.GRU(2), shape=(5, 3)), "reset_after of GRU is True, not False"),
    "hard_sigmoid": (lambda L: sequential(L.Dense(2, "hard_sigmoid")), "the activation hard_sigmoid"),
    "causal": (lambda L: sequential(L.Conv1D(2, 3, padding="causal"), shape=(5, 3)), "padding"),
    "groups": (lambda L: sequential(L.Conv2D(4, 1, groups=2), shape=(5, 5, 2)), "groups"),
    "bilinear": (
        lambda L: sequential(L.UpSampling2D(interpolation="bilinear"), shape=(5, 5, 2)), "interpolation"),
    "another axis": (lambda L: sequential(L.BatchNormalization(1), shape=(5, 5, 2)), "axis"),
    "keepdims": (lambda L: sequential(L.GlobalMaxPooling1D(keepdims=True), shape=(5, 3)), "keepdims"),
    "the slope of ReLU": (lambda L: sequential(L.ReLU(negative_slope=0.1)), "negative_slope"),
    "ELU": (lambda L: sequential(L.ELU(0.5)), "the alpha of ELU"),
    "rms": (lambda L: sequential(L.RMSNormalization()), "no RMSNormalization"),
    "integers": (lambda L: sequential(L.Flatten(dtype="int32")), "dtype is 'int32'"),
    "texts": (lambda L: keras.Sequential([keras.Input((2,), dtype="string"), L.Identity()]), "string"),
    "an operation": (lambda L: constant(), "two tensors of one shape"),
    "a broadcast": (lambda L: broadcast(), "two tensors of one shape"),
    "training": (lambda L: training(), "it is called with training"),
    "a mask of its own": (lambda L: own_mask(), "mask"),
    "a mask through LeakyReLU": (lambda L: masked(L.LeakyReLU()), "a mask reaches it"),
    "a mask at GlobalAveragePooling1D": (lambda L: masked(L.GlobalAveragePooling1D()), "a mask reaches it"),
    "a mask at both directions": (
        lambda L: masked(L.Bidirectional(L.LSTM(2, return_sequences=True))), "a mask reaches it"),
    "a mask into a model": (
        lambda L: masked(sequential(L.LSTM(2), shape=(5, 3))), "a mask reaches this model from outside"),
    "two directions that differ": (
        lambda L: sequential(
            L.Bidirectional(L.LSTM(2), backward_layer=L.GRU(2, go_backwards=True)), shape=(5, 3)),
        "the same one backward"),
    "no shape": (lambda L: keras.Sequential([L.Dense(2)]), "its input has no shape"),
    "a layer": (lambda L: L.Dense(2), "not a Sequential or Functional model"),
}  # fmt: skip


def masked_attention(L: Any) -> Any:
    x = keras.Input((5, 4))
    return keras.Model(x, L.MultiHeadAttention(2, 2)(x, x))


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_would_predict_otherwise_is_refused_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    made, reason = REFUSED[name]
    saver.dump(made(keras.layers), tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match=reason):
        saver.export(tmp_path / "a.saver", tmp_path / "out", format="tfjs")
    assert os.listdir(tmp_path) == ["a.saver"]


def test_all_that_is_refused_is_listed(tmp_path: Path) -> None:
    L = keras.layers
    inner = sequential(L.Dense(2, "hard_sigmoid", name="hard"), L.GroupNormalization(2, name="groups"))
    saver.dump(sequential(L.UnitNormalization(name="unit"), inner), tmp_path / "a.saver")
    with pytest.raises(IncompatibleError) as caught:
        saver.export(tmp_path / "a.saver", tmp_path / "out", format="tfjs")
    assert all(each in str(caught.value) for each in (".unit: ", ".hard: ", ".groups: "))


@keras.saving.register_keras_serializable("tests of tfjs")
class Own(keras.layers.Layer):  # type: ignore[misc, name-defined]
    """A layer of a user."""

    def call(self, x: Any) -> Any:
        return x


def test_a_class_of_the_user_is_named(tmp_path: Path) -> None:
    saver.dump(sequential(Own(name="mine")), tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match=r"\.mine: there is no .*Own in TensorFlow\.js"):
        saver.export(tmp_path / "a.saver", tmp_path / "out", format="tfjs")


def test_what_only_training_needs_is_kept_or_a_loss(tmp_path: Path) -> None:
    L = keras.layers
    model = sequential(
        L.Dense(3, kernel_regularizer="l1", kernel_initializer="lecun_normal", bias_constraint="non_neg"),
        L.Dense(2, kernel_regularizer="orthogonal_regularizer", name="last"),
    )
    model.compile("adam", "mse")
    model.fit(numbers(4, 4), np.ones((4, 2)), verbose=0)
    saver.dump(model, tmp_path / "a.saver")
    found = saver.export(tmp_path / "a.saver", tmp_path / "out", format="tfjs")
    assert [str(loss) for loss in found.losses] == [
        "$.model.last: the regularizer OrthogonalRegularizer",
        "$.model: how it is compiled",
        "$.model: the state of its optimizer",
    ]
    dense = saver.load(tmp_path / "out").layers[0]
    assert dense.kernel_regularizer.get_config() == model.layers[0].kernel_regularizer.get_config()
    assert type(dense.kernel_initializer).__name__ == "LecunNormal"
    assert type(dense.bias_constraint).__name__ == "NonNeg"


def test_one_model_is_written(tmp_path: Path) -> None:
    saver.dump({"model": sequential(keras.layers.Dense(2)), "x": np.ones(2)}, tmp_path / "a.saver")
    for parts in (None, ["x"]):
        with pytest.raises(IncompatibleError, match="one model of Keras; choose the part"):
            saver.export(tmp_path / "a.saver", tmp_path / "out", format="tfjs", parts=parts)
    saver.export(tmp_path / "a.saver", tmp_path / "out", format="tfjs", parts=["model"])
    assert isinstance(saver.load(tmp_path / "out" / "model.json"), keras.Model)


@pytest.mark.slow
@pytest.mark.shows("TensorFlow.js", "hostile files tried")
def test_whatever_the_topology_says_keras_makes_a_model_or_it_is_refused(
    tmp_path: Path, record_property: Any
) -> None:
    """Each value in it is replaced by others, one at a time."""
    L = keras.layers
    inner = sequential(L.Dropout(0.5), L.LSTM(2), shape=(5, 3))
    x = keras.Input((5, 3))
    saver.dump(keras.Model(x, L.Dense(1, "relu")(inner(x))), tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "out", format="tfjs")
    path = tmp_path / "out" / "model.json"
    document = json.loads(path.read_text())
    count = 0
    for place in places(document["modelTopology"]["model_config"]):
        for other in (None, -1, 1 << 40, "x", [], {}):
            changed = json.loads(json.dumps(document))
            at = changed["modelTopology"]["model_config"]
            for step in place[:-1]:
                at = at[step]
            at[place[-1]] = other
            path.write_text(json.dumps(changed))
            try:
                found = saver.load(tmp_path / "out")
            except SaverError:
                continue
            finally:
                count += 1
            assert isinstance(found, (keras.Model, dict))
    record_property("hostile files", count)
    assert count > 500


@pytest.mark.slow
def test_whatever_a_configuration_says_it_is_written_or_refused(tmp_path: Path) -> None:
    """Each value in it is replaced by others, one at a time."""
    L = keras.layers
    x, words = keras.Input((5, 3)), keras.Input((5,), dtype="int32")
    inner = sequential(L.Dropout(0.5), L.Bidirectional(L.LSTM(2)), shape=(5, 3))
    y = L.Dense(2)(inner(x)) + L.GRU(2, reset_after=False)(L.Embedding(9, 3, mask_zero=True)(words))
    saver.dump(keras.Model([x, words], y), tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.json")
    saver.export(tmp_path / "a.saver", tmp_path / "out", format="tfjs")
    document, count = json.loads((tmp_path / "a.json").read_text()), 0
    (part,) = document["parts"]
    for place in places(document["parts"][part]["tree"]["state"]["config"]):
        for other in (None, "x", [[1]]):
            changed = json.loads(json.dumps(document))
            at = changed["parts"][part]["tree"]["state"]["config"]
            for step in place[:-1]:
                at = at[step]
            at[place[-1]] = other
            (tmp_path / "b.json").write_text(json.dumps(changed))
            target = tmp_path / "again"
            try:
                saver.export(tmp_path / "b.json", target, format="tfjs")
                shutil.rmtree(target)
            except SaverError:
                assert not target.exists()
            count += 1
    assert count > 800


def test_weights_that_are_shared_do_not_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver.dump(sequential(keras.layers.Dense(2)), tmp_path / "a.saver")
    monkeypatch.setattr("saver.formats.tfjs.weights.BYTES", 0)
    with pytest.raises(IncompatibleError, match="more than 0 times its size"):
        saver.export(tmp_path / "a.saver", tmp_path / "out", format="tfjs")


def places(value: Any) -> list[list[Any]]:
    """The steps to everything in a document."""
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [[step, *more] for step, inner in items for more in ([], *places(inner))]
