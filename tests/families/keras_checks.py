"""Models of Keras come back on one backend. Run by test_keras.py, in a process for each backend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import keras_models
import numpy as np
import pytest
from keras import layers
from keras_models import FEATURES, MODELS, TRUST, answer, rows, targets

import saver
from saver.errors import CannotSaveError, DoesNotFitError, UntrustedError
from saver.families.keras import vocabularies
from saver.storages.memory import MemoryStorage
from saver.testing import CodecTests

CONTINUED = ("sequential", "functional", "subclassed", "mixed", "adapted")
"""Those that are trained on; the others have the same state."""


def small() -> Any:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((FEATURES,), name="in")
    found = layers.Dropout(0.5, seed=1, name="drop")(layers.Dense(2, name="a")(inputs)) + 1.0
    model = keras.Model(inputs, found, name="small")
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5, name="sgd"), "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


class TestKeras(CodecTests):
    family = "keras"
    samples = {"model": small, "layer": keras_models.alone}  # noqa: RUF012


def again(model: Any, folder: Path) -> Any:
    saver.dump(model, folder / "model.saver")
    return saver.load(folder / "model.saver", trust=TRUST)


def test_every_model_predicts_the_same_bits_in_a_fresh_process(tmp_path: Path) -> None:
    keras_models.save_all(tmp_path)
    program = f"import pathlib, keras_models; keras_models.check_all(pathlib.Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300, cwd=Path(__file__).parent)


@pytest.mark.parametrize("name", CONTINUED)
def test_training_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    loaded, found = again(model, tmp_path), []
    for each in (model, loaded):
        keras.utils.set_random_seed(9)
        history = each.fit(rows(), targets(), epochs=2, batch_size=4, shuffle=False, verbose=0).history
        found.append((history, answer(each)))
    assert found[0] == found[1]
    saver.dump(model, tmp_path / "one.saver")
    saver.dump(loaded, tmp_path / "two.saver")
    assert saver.diff(tmp_path / "one.saver", tmp_path / "two.saver").parts[0].status == "same"


@pytest.mark.parametrize("name", ["sequential", "functional", "subclassed", "adapted"])
def test_a_model_that_exists_is_restored_in_place(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    saver.dump(model, tmp_path / "model.saver")
    other = MODELS[name]()
    weights = list(other.weights)
    for variable in (*weights, *other.optimizer.variables):
        variable.assign(keras.ops.ones(variable.shape, variable.dtype))
    report = saver.restore(tmp_path / "model.saver", into=other)
    assert report
    assert all(one is two for one, two in zip(weights, other.weights, strict=True))
    assert answer(other) == answer(model)
    saver.dump(other, tmp_path / "other.saver")
    assert saver.diff(tmp_path / "model.saver", tmp_path / "other.saver").parts[0].status == "same"


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    saver.dump(MODELS["sequential"](), tmp_path / "model.saver")
    other = keras_models.subclassed()
    before = answer(other)
    with pytest.raises(DoesNotFitError, match="not in the target"):
        saver.restore(tmp_path / "model.saver", into=other)
    assert answer(other) == before


def test_classes_of_the_user_need_trust(tmp_path: Path) -> None:
    saver.dump(keras_models.subclassed(), tmp_path / "model.saver")
    with pytest.raises(UntrustedError, match=r"keras_models\.Network"):
        saver.load(tmp_path / "model.saver")


def test_a_layer_that_was_frozen_is_frozen(tmp_path: Path) -> None:
    model = MODELS["frozen"]()
    loaded = again(model, tmp_path)
    assert not loaded.get_layer("one").trainable
    assert len(loaded.trainable_variables) == len(model.trainable_variables) < len(model.weights)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)


def test_the_scale_of_a_loss_goes_on(tmp_path: Path) -> None:
    model = MODELS["mixed"]()
    loaded = again(model, tmp_path)
    assert float(loaded.optimizer.dynamic_scale) == float(model.optimizer.dynamic_scale)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)


def test_a_rate_that_was_changed_comes_back_without_building_the_optimizer(tmp_path: Path) -> None:
    loaded = again(MODELS["untrained"](), tmp_path)
    assert float(loaded.optimizer.learning_rate) == 0.125
    assert not loaded.optimizer.built


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (lambda: layers.Lambda(lambda inputs: inputs), "class that derives from keras.layers.Layer"),
        (lambda: layers.Activation(lambda inputs: inputs), "cannot find your function <lambda>"),
        (lambda: layers.Activation(keras.ops.sin), "decorate yours"),
        (lambda: layers.Activation(relu), "cannot find your function relu"),
    ],
)
def test_functions_without_a_data_form_are_refused(layer: Any, why: str) -> None:
    model = keras.Sequential([keras.Input((FEATURES,)), layer()])
    with pytest.raises(CannotSaveError, match=why):
        saver.dumps(model)


def relu(inputs: Any) -> Any:
    return inputs


def names_of(module: Any, base: type, left_out: tuple[str, ...] = ()) -> list[str]:
    found = [name for name, each in vars(module).items() if isinstance(each, type) and issubclass(each, base)]
    return sorted(name for name in found if name not in left_out)


@pytest.mark.parametrize(
    "name",
    names_of(
        keras.optimizers, keras.optimizers.Optimizer,
        ("Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"),
    ),
)  # fmt: skip
def test_every_optimizer_goes_on(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(3), layers.Dense(2)])
    model.compile(getattr(keras.optimizers, name)(0.01), "mse", run_eagerly=keras.backend.backend() != "jax")
    model.train_on_batch(rows(), targets())
    loaded = again(model, tmp_path)
    for each in (model, loaded):
        each.train_on_batch(rows(), targets())
    assert answer(loaded) == answer(model)


@pytest.mark.parametrize("option", ["use_ema", "gradient_accumulation_steps", "clipnorm", "weight_decay"])
def test_every_option_of_an_optimizer_goes_on(option: str, tmp_path: Path) -> None:
    if option == "use_ema" and keras.backend.backend() == "jax":
        pytest.skip("keras under JAX cannot train twice with averages of weights")
    keras.utils.set_random_seed(0)
    value: Any = {"use_ema": True, "gradient_accumulation_steps": 2}.get(option, 0.1)
    rate = keras.optimizers.schedules.CosineDecayRestarts(0.1, 2)
    model = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(2)])
    model.compile(keras.optimizers.AdamW(rate, **{"weight_decay": 0.01, option: value}), "mse")
    model.fit(rows(), targets(), batch_size=4, shuffle=False, verbose=0)
    loaded = again(model, tmp_path)
    for each in (model, loaded):
        each.fit(rows(), targets(), batch_size=4, shuffle=False, verbose=0)
    assert answer(loaded) == answer(model)


KINDS = {
    "losses": (keras.losses, keras.losses.Loss, ("Loss",)),
    "metrics": (keras.metrics, keras.metrics.Metric, ("Metric",)),
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "MeanMetricWrapper": {"fn": keras_models.squared},
    "MeanIoU": {"num_classes": 2}, "OneHotMeanIoU": {"num_classes": 2},
    "IoU": {"num_classes": 2, "target_class_ids": [0]},
    "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "PrecisionAtRecall": {"recall": 0.5}, "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5}, "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "CategoricalGeneralizedCrossEntropy": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in names_of(*KINDS[kind])]
)
def test_every_loss_and_metric_is_saved(kind: str, name: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(2)])
    made = getattr(KINDS[kind][0], name)(**ARGUMENTS.get(name, {}))
    if kind == "losses":
        model.compile("sgd", loss=made)
    else:
        model.compile("sgd", "mse", metrics=[made])
    loaded = again(model, tmp_path)
    assert loaded.get_compile_config() == model.get_compile_config()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32"])
def test_variables_of_every_dtype_come_back(dtype: str, tmp_path: Path) -> None:
    layer = keras_models.Typed(dtype, name="typed")
    layer.build((None, 2))
    loaded = again(layer, tmp_path)
    assert str(loaded.own.dtype) == dtype
    one, two = (keras.ops.convert_to_numpy(each.own) for each in (layer, loaded))
    assert one.tobytes() == two.tobytes()


WORDS = ["", "two\nlines", "crlf\r\n", "nul\0", " blank ", "naïve", "🙂", "x", "last"]


@pytest.mark.parametrize("mask", [None, "mask"])
@pytest.mark.parametrize("mode", ["int", "multi_hot", "tf_idf"])
def test_every_word_of_a_vocabulary_comes_back(mode: str, mask: Any, tmp_path: Path) -> None:
    layer = layers.StringLookup(output_mode=mode, mask_token=mask if mode == "int" else None, name="words")
    weights = [float(place) for place in range(1, len(WORDS) + 1)] if mode == "tf_idf" else None
    layer.set_vocabulary(np.array(WORDS, dtype=object), idf_weights=weights)
    loaded = again(layer, tmp_path)
    found = vocabularies.of(loaded)
    assert found == vocabularies.of(layer)
    assert found is not None
    assert found[-len(WORDS) :] == WORDS
    one, two = (keras.ops.convert_to_numpy(each([WORDS])) for each in (layer, loaded))
    assert one.tobytes() == two.tobytes()


def test_adapted_layers_of_preprocessing_come_back(tmp_path: Path) -> None:
    texts = ["the cat sat", "a dog sat down", "the end"]
    vectors = layers.TextVectorization(output_mode="tf_idf", name="texts")
    vectors.adapt(texts)
    numbers = layers.IntegerLookup(name="numbers")
    numbers.adapt([[3, 3, 9, -1]])
    bins = layers.Discretization(num_bins=3, name="bins")
    bins.adapt(rows())
    for layer, data in ((vectors, texts), (numbers, [[9, 4]]), (bins, rows())):
        loaded = again(layer, tmp_path)
        one, two = (keras.ops.convert_to_numpy(each(data)) for each in (layer, loaded))
        assert one.tobytes() == two.tobytes()


def trained(store: saver.Saver, stop: int) -> tuple[float, Any]:
    """A run up to this step, with a number of Keras' global generator in each step: its loss, and the next
    number."""
    model, loss = small(), 0.0
    with store.checkpoints("run", {"model": model}, every=saver.Every(steps=2)) as run:
        for step in range(run.resume(), stop):
            loss = float(model.train_on_batch(rows(), targets())[0])
            keras.random.normal((3,))
            run.step(step, loss=loss)
    return loss, keras.ops.convert_to_numpy(keras.random.normal((3,))).tolist()


def test_a_run_goes_on_to_the_same_bits() -> None:
    whole, killed = saver.Saver(MemoryStorage()), saver.Saver(MemoryStorage())
    trained(killed, 4)
    assert trained(killed, 6) == trained(whole, 6)
