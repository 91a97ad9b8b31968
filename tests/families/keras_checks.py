"""Models of Keras come back on one backend. Run by test_keras.py, in a process for each backend."""

from __future__ import annotations

import subprocess
import sys
import threading
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
from saver.families.keras import run, vocabularies
from saver.storages.memory import MemoryStorage
from saver.testing import CodecTests
from saver.testing.codecs import bytes_of

CONTINUED = ("sequential", "functional", "subclassed", "mixed", "adapted")
"""Those that are trained on; the others have the same state."""


def small() -> Any:
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((FEATURES,), name="in")
    found = layers.Dropout(0.5, seed=1, name="drop")(layers.Dense(2, name="a")(inputs)) + 1.0
    model = keras.Model(inputs, found, name="small")
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5, name="sgd"), "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


class TestKeras(CodecTests):
    family = "keras"
    samples = {"model": small, "layer": keras_models.alone, "optimizer": lambda: ALONE["adam"]()}  # noqa: RUF012


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


def several() -> Any:
    """An optimizer for the first layer, another one for the others."""
    chosen = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.1, momentum=0.5, name="sgd"), {".*one/.*": keras.optimizers.Adam(name="adam")}
    )
    return keras.optimizers.MultiOptimizer(chosen, name="several")


def two_layers() -> Any:
    keras.utils.set_random_seed(0)
    made = [keras.Input((FEATURES,)), layers.Dense(3, name="one"), layers.Dense(2, name="two")]
    return keras.Sequential(made, name="both")


def test_an_optimizer_of_several_goes_on(tmp_path: Path) -> None:
    model = two_layers()
    model.compile(several(), "mse")
    model.train_on_batch(rows(), targets())
    loaded = again(model, tmp_path)
    for each in (model, loaded):
        each.train_on_batch(rows(), targets())
    assert answer(loaded) == answer(model)
    assert bytes_of(loaded) == bytes_of(model)


ALONE: dict[str, Any] = {
    "adam": lambda: keras.optimizers.Adam(0.1, name="adam"),
    "schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), momentum=0.9, name="sgd"
    ),
    "average": lambda: keras.optimizers.Adam(0.1, use_ema=True, name="adam"),
    "accumulated": lambda: keras.optimizers.Adam(0.1, gradient_accumulation_steps=2, name="adam"),
    "several": several,
}
if keras.backend.backend() != "jax":  # where Keras scales a loss only within its own training
    ALONE["scaled"] = lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(name="a"), name="b")


def apply(optimizer: Any, model: Any, times: int = 3) -> None:
    variables = model.trainable_variables
    for _ in range(times):
        optimizer.apply([keras.ops.ones(each.shape) * 0.1 for each in variables], variables)


@pytest.mark.parametrize("name", ALONE)
def test_an_optimizer_alone_goes_on(name: str, tmp_path: Path) -> None:
    """It gets its state when it is built: by a call, within a model that is compiled with it, or before."""
    optimizer, model, other = ALONE[name](), two_layers(), two_layers()
    apply(optimizer, model)
    saver.dump(optimizer, tmp_path / "alone.saver")
    other.set_weights(model.get_weights())
    loaded, unbuilt, built = saver.load(tmp_path / "alone.saver"), ALONE[name](), ALONE[name]()
    built.build(two_layers().trainable_variables)
    saver.restore(tmp_path / "alone.saver", into=unbuilt)
    saver.restore(tmp_path / "alone.saver", into=built)
    assert bytes_of(loaded) == bytes_of(unbuilt) == bytes_of(built) == bytes_of(optimizer)
    apply(optimizer, model)
    apply(loaded, other)
    assert answer(other) == answer(model)
    assert bytes_of(loaded) == bytes_of(optimizer)


def test_a_loaded_optimizer_says_for_what_it_is_built(tmp_path: Path) -> None:
    optimizer, model = ALONE["adam"](), two_layers()
    apply(optimizer, model)
    loaded = again(optimizer, tmp_path)
    with pytest.raises(ValueError, match="it trained 4 variables of the shapes"):
        loaded.build(model.trainable_variables[:2])
    model.compile(loaded, "mse")
    with pytest.raises(CannotSaveError, match=r"first call model\.optimizer\.build"):
        saver.dumps(model)
    loaded.build(model.trainable_variables)
    assert int(loaded.iterations) == 3
    assert int(again(model, tmp_path).optimizer.iterations) == 3


def test_an_optimizer_of_another_class_is_refused(tmp_path: Path) -> None:
    saver.dump(ALONE["adam"](), tmp_path / "alone.saver")
    with pytest.raises(DoesNotFitError, match=r"an Adam was saved, not a .*SGD"):
        saver.restore(tmp_path / "alone.saver", into=ALONE["schedule"]())


def stepwise(store: saver.Saver, stop: int) -> bytes:
    """A run with a loop of one's own: a model that is not compiled, and an optimizer."""
    model, optimizer = two_layers(), ALONE["adam"]()
    objects = {"model": model, "optimizer": optimizer}
    with store.checkpoints("run", objects, every=saver.Every(steps=2)) as run:
        for step in range(run.resume(), stop):
            apply(optimizer, model, 1)
            run.step(step)
    return answer(model)


def test_a_run_with_an_optimizer_of_its_own_goes_on_to_the_same_bits() -> None:
    whole, killed = saver.Saver(MemoryStorage()), saver.Saver(MemoryStorage())
    stepwise(killed, 4)
    assert stepwise(killed, 7) == stepwise(whole, 7)


def test_a_model_within_a_model_keeps_how_it_was_compiled(tmp_path: Path) -> None:
    inner = two_layers()
    inner.compile(keras.optimizers.Adam(name="adam"), "mse")
    outer = keras.Sequential([keras.Input((FEATURES,)), inner, layers.Dense(2, name="out")], name="outer")
    outer.compile(keras.optimizers.SGD(0.1, momentum=0.5, name="sgd"), "mae")

    def trained(model: Any) -> bytes:
        for each in (model.layers[0], model):
            each.train_on_batch(rows(), targets())
        return answer(model)

    trained(outer)
    loaded = again(outer, tmp_path)
    assert loaded.layers[0].compiled
    assert trained(loaded) == trained(outer)
    assert bytes_of(loaded) == bytes_of(outer)
    saver.dump(outer, tmp_path / "later.saver")
    before = answer(outer)
    trained(outer)
    assert saver.restore(tmp_path / "later.saver", into=outer)
    assert answer(outer) == before
    assert bytes_of(loaded) == bytes_of(outer)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_models_answer_and_train_on(mode: str, tmp_path: Path) -> None:
    model = two_layers()
    model.quantize(mode)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5, name="sgd"), "mse")
    model.train_on_batch(rows(), targets())
    loaded = again(model, tmp_path)
    assert answer(loaded) == answer(model)
    for each in (model, loaded):
        each.train_on_batch(rows(), targets())
    assert bytes_of(loaded) == bytes_of(model)


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


@keras.saving.register_keras_serializable("tests")
class Noisy(layers.Layer):
    """A layer that draws from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(3)


@keras.saving.register_keras_serializable("tests")
class Counting(keras.Model):
    """A model with attributes that Keras does not save."""

    def __init__(self) -> None:
        super().__init__(name="counting")
        self.stack = [layers.Dense(4), Noisy()]
        self.named = {"head": layers.Dense(1)}
        self.seen: list[Any] = []
        self.table = {"a": [1]}
        self.chosen = {0}
        self.count, self._private, self.nothing = 0, "x", None
        self.array = np.zeros(3)
        self.function = relu

    def call(self, inputs: Any) -> Any:
        return self.named["head"](self.stack[0](inputs))

    def get_config(self) -> dict[str, Any]:
        return {}


def counting() -> Counting:
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    model = Counting()
    model.compile("adam", "mse")
    model(rows()[:1])
    return model


def counted(store: saver.Saver, stop: int, made: Any = counting) -> Any:
    """A run up to this step, in which all attributes change and decide: what they are then."""
    model = made()
    with store.checkpoints("run", {"model": model}, every=saver.Every(steps=2)) as run:
        for step in range(run.resume(trust=[f"{__name__}.*"]), stop):
            noise = float(model.stack[1].rng.normal()) + len(model.seen) + model.count + sum(model.chosen)
            model.train_on_batch(rows() + noise / 100, targets())
            model.seen.append(noise)
            model.table["a"].append(step)
            model.table[str(step)] = {"of": noise}
            model.chosen.add(step)
            model.count += 2
            model._private += "y"
            model.nothing = model.nothing or step
            model.array = model.array + noise
            run.step(step, loss=noise)
    weights = [keras.ops.convert_to_numpy(each).tobytes() for each in model.weights]
    state = (model.seen, model.table, sorted(model.chosen), model.count, model._private, model.nothing)
    return weights, repr(state), model.array.tobytes(), model.stack[1].rng.random(), model.function is relu


@pytest.mark.filterwarnings("ignore")
def test_what_users_keep_in_attributes_goes_on() -> None:
    whole, killed = saver.Saver(MemoryStorage()), saver.Saver(MemoryStorage())
    counted(killed, 4)
    assert counted(killed, 7) == counted(whole, 7)
    assert counted(killed, 9) == counted(whole, 9)


@pytest.mark.filterwarnings("ignore")
def test_what_has_no_data_form_is_named_when_a_run_is_made() -> None:
    def made() -> Counting:
        model = counting()
        model.lock = threading.Lock()
        model.stack[1].lock = threading.Lock()
        return model

    with pytest.warns(RuntimeWarning, match=r"model\.lock \(a _thread\.lock\)") as found:
        counted(saver.Saver(MemoryStorage()), 1, made)
    (said,) = [str(each.message) for each in found if "model.lock" in str(each.message)]
    assert said.startswith("not saved, for lack of a data form: model.lock (a _thread.lock), model.")
    assert "noisy/lock (a _thread.lock); a resumed run" in said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["call", "stack", "named", "_layers", "trainable", "optimizer", "__class__", "built"]
)
def test_nothing_from_a_file_takes_the_place_of_what_keras_keeps(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = saver.Saver(MemoryStorage())
    with monkeypatch.context() as patch:
        patch.setattr(run, "own_state", lambda model: {"": {name: [1], "count": 7}})
        counted(store, 2)
    model = counting()
    before = dict(vars(model))
    with (
        pytest.raises(
            (saver.DamagedError, saver.IncompatibleError, DoesNotFitError, CannotSaveError, ValueError)
        ),
        store.checkpoints("run", {"model": model}, every=saver.Every(steps=2)) as again,
    ):
        again.resume(trust=[f"{__name__}.*"])
    assert model.count == 0
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[key] is item for key, item in before.items())
