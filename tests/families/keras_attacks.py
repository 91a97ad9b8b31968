"""Hostile files of Keras models: names in them lead to reviewed classes or nowhere. Run by test_keras.py."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_models  # noqa: F401  it registers classes
import pytest
from keras import layers
from keras.src import api_export

import saver
from saver.errors import IncompatibleError, LimitExceededError, SaverError, UntrustedError
from saver.families.keras import FAMILY
from saver.testing import codecs

EXPORTED: dict[str, Any] = api_export.REGISTERED_NAMES_TO_OBJS
FORBIDDEN = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
FOREIGN = (
    ("os", "system"), ("builtins", "eval"), ("keras", "utils"), ("keras.src.saving.saving_lib", "load_model"),
    ("keras.src.ops.core", "Map"), ("keras.src.ops.core", "WhileLoop"), ("keras.src.ops.numpy", "np"),
    ("keras.src.layers.core.lambda_layer", "Lambda"), ("subprocess", "Popen"), ("keras_models", "Network"),
    ("keras.src.utils.python_utils", "func_load"), (None, "Network"), (None, "tests>Network"),
)  # fmt: skip


def model() -> Any:
    """Every kind of place: layers, operations, functions, initializers, a schedule, metrics, a vocabulary."""
    keras.backend.clear_session(free_memory=False)
    inputs = keras.Input((4,), name="in")
    found = layers.Dense(3, "relu", kernel_regularizer="l2", kernel_constraint="non_neg", name="a")(inputs)
    found = layers.Activation(layers.ReLU(name="r"), name="b")(found) + layers.Dropout(0.5, seed=1, name="d")(
        found
    )
    made = keras.Model(inputs, found, name="attacked")
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    loss, metrics = keras.losses.mean_squared_error, [keras.metrics.AUC(name="auc"), "mae"]
    made.compile(keras.optimizers.SGD(rate, name="sgd"), loss, metrics=metrics)
    return made


SAVED = codecs.StoredObject(model())


def places(trees: Any) -> Iterator[dict[str, Any]]:
    """Every object of the configurations."""
    return (each for each in codecs.everything(trees) if isinstance(each, dict) and "class_name" in each)


PLACES = len(list(places(SAVED.trees)))


def changed(at: int, **fields: Any) -> codecs.StoredObject:
    found = SAVED.copy()
    place = list(places(found.trees))[at]
    place.update(fields)
    place.pop("$order", None)
    return found


class Watch:
    """Notes what is imported, opened or started while a file is loaded."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.on = False
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: Any) -> None:
        if event == "open" and str(arguments[0]).endswith("config.toml"):
            return  # the user's own configuration
        if self.on and event in (
            "os.system",
            "subprocess.Popen",
            "marshal.loads",
            "open",
            "socket.connect",
            "exec",
        ):
            self.seen.append(f"{event} {arguments!r:.200}")

    def load(self, saved: codecs.StoredObject) -> Any:
        self.seen.clear()
        self.on = True
        try:
            return codecs.load(saved, ())
        finally:
            self.on = False


WATCH = Watch()
HOSTILE = 150


def test_the_model_itself_comes_back() -> None:
    assert PLACES > 20
    assert isinstance(codecs.load(SAVED, ()), keras.Model)


def split(name: str) -> tuple[str, str]:
    module, _, last = name.rpartition(".")
    return module, last


REFUSED = [pair for pair in map(split, EXPORTED) if not FAMILY.admits("keras.object", ":".join(pair))]


FUNCTIONS = [pair for pair in map(split, EXPORTED) if not FAMILY.admits("keras.function", ":".join(pair))]
REASON = "not among the reviewed objects of Keras|without a tensor of its model"


def some(pairs: list[tuple[str, str]], at: int) -> list[tuple[str, str]]:
    """Each exported name is tried at some place, and all of them are at the first one."""
    return pairs if at == 0 else pairs[at::PLACES]


@pytest.mark.parametrize("at", range(PLACES))
def test_no_class_or_function_beside_the_list_is_made_at_any_place(at: int) -> None:
    for module, name in (*some(REFUSED, at), *FOREIGN):
        with pytest.raises(IncompatibleError, match=REASON):
            WATCH.load(changed(at, module=module, class_name=name))
        assert not WATCH.seen, (module, name)


@pytest.mark.parametrize("at", range(PLACES))
def test_functions_are_only_those_of_the_list(at: int) -> None:
    for module, name in some(FUNCTIONS, at):
        with pytest.raises(IncompatibleError, match=REASON):
            WATCH.load(changed(at, module=module, class_name="function", config=name))
        assert not WATCH.seen, (module, name)
    for name in ("get", "deserialize", "serialize", "eval", "open", "tests>clipped", "clipped"):
        with pytest.raises(IncompatibleError):
            WATCH.load(changed(at, module="builtins", class_name="function", config=name))


@pytest.mark.parametrize("at", range(PLACES))
def test_a_registered_name_stands_nowhere(at: int) -> None:
    for name in (None, "tests>Network", "tests>clipped", "Dense", "os.system"):
        with pytest.raises(IncompatibleError, match="has the fields"):
            WATCH.load(changed(at, registered_name=name))


def test_a_text_that_is_registered_with_keras_resolves_to_nothing() -> None:
    for at in range(PLACES):
        for key in ("name", "config", "module", "class_name"):
            with pytest.raises(IncompatibleError):
                WATCH.load(changed(at, **{key: "tests>clipped"}))


def test_listed_classes_at_any_place_are_sound_or_refused() -> None:
    listed = [pair for pair in map(split, EXPORTED) if FAMILY.admits("keras.object", ":".join(pair))]
    draw = random.Random(0)
    for module, name in listed:
        try:
            found = WATCH.load(changed(draw.randrange(PLACES), module=module, class_name=name))
        except SaverError:
            continue
        assert isinstance(found, layers.Layer), name


@pytest.mark.parametrize("name", [*FORBIDDEN, "__lambda__", "__typespec__"])
def test_what_holds_code_or_paths_is_refused_at_every_place(name: str) -> None:
    for at in range(PLACES):
        with pytest.raises(IncompatibleError, match=REASON):
            WATCH.load(changed(at, module="keras.layers", class_name=name))
        assert not WATCH.seen


def test_a_vocabulary_is_never_a_path(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a\nb\n")
    data = saver.dumps(layers.StringLookup(vocabulary=str(secret)))
    assert b"secret" not in data
    assert saver.loads(data).get_vocabulary() == ["[UNK]", "a", "b"]
    saved = codecs.StoredObject(layers.StringLookup(vocabulary=["a", "b"], name="lookup"))
    for each in places(saved.trees):
        if each["class_name"] == "StringLookup":
            each["config"]["vocabulary"] = str(secret)
    with pytest.raises(IncompatibleError, match="not the path of a file"):
        WATCH.load(saved)
    assert not WATCH.seen


def test_classes_of_the_user_ask_for_trust_and_must_be_of_keras() -> None:
    node = {"$": "class", "class": "keras_models:Scaled", "state": None}
    for at in range(PLACES):
        with pytest.raises(UntrustedError, match=r"keras_models\.Scaled"):
            codecs.load(changed(at, class_name=node), ())
    for name in ("pathlib:Path", "collections:OrderedDict", "random:Random"):
        other = changed(0, class_name={**node, "class": name})
        del next(places(other.trees))["module"]
        with pytest.raises(IncompatibleError, match=r"not a (class that Keras makes|function for Keras)"):
            codecs.load(other, ("*",))


@pytest.mark.parametrize(
    ("key", "number"),
    [("units", 10**9), ("units", 2**53), ("units", -1), ("num_thresholds", 10**9)],
)
def test_a_number_asks_for_no_more_than_the_file_may_use(key: str, number: int) -> None:
    saved = SAVED.copy()
    for each in codecs.everything(saved.trees):
        if isinstance(each, dict) and key in each:
            each[key] = number
    with pytest.raises((LimitExceededError, IncompatibleError)):
        codecs.load(saved, ())


def test_what_is_computed_at_once_is_refused() -> None:
    saved = SAVED.copy()
    for each in places(saved.trees):
        if each["class_name"] == "Add":
            each.update(class_name="Full", config={"shape": [10**6, 10**6], "name": "full"})
            each["inbound_nodes"] = [{"args": [1.0], "kwargs": {}}]
    with pytest.raises(IncompatibleError, match="without a tensor of its model"):
        codecs.load(saved, ())


def test_mutated_files_are_sound_or_refused() -> None:
    for number in range(HOSTILE):
        found, draw = SAVED.copy(), random.Random(number)
        for _ in range(draw.randint(1, 3)):
            codecs.change(found.trees, draw)
        try:
            made = WATCH.load(found)
        except SaverError:
            continue
        if isinstance(made, layers.Layer):
            made.get_config()


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", ".*.*.*.*.*b", r"(a)\1", "(?:a*)b", "a" * 300])
def test_a_pattern_that_takes_long_is_refused_on_both_sides(pattern: str) -> None:
    def made(key: str) -> Any:
        chosen = keras.optimizers.OptimizerMap(keras.optimizers.SGD(name="s"), {key: keras.optimizers.Adam()})
        return keras.optimizers.MultiOptimizer(chosen, name="several")

    with pytest.raises(saver.CannotSaveError, match="could take very long"):
        saver.dumps(made(pattern))
    saved = codecs.StoredObject(made(".*one/.*"))
    for each in places(saved.trees):
        if each["class_name"] == "OptimizerMap":
            held = each["config"]["optimizer_map"]
            held[pattern] = held.pop(".*one/.*")
    with pytest.raises(IncompatibleError, match="could take very long"):
        WATCH.load(saved)


def _rates() -> Iterator[Any]:
    """Every optimizer and schedule of Keras that is made of numbers alone."""
    named = vars(keras.optimizers) | vars(keras.optimizers.schedules)
    for kind in dict.fromkeys(each for each in named.values() if isinstance(each, type)):
        if kind.__name__ in ("Optimizer", "LearningRateSchedule", "OptimizerMap", "MultiOptimizer"):
            continue
        needed = [
            parameter.name
            for parameter in inspect.signature(kind.__init__).parameters.values()
            if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        given = {"inner_optimizer": keras.optimizers.SGD(), "boundaries": [2], "values": [0.1, 0.2]}
        yield kind(**{name: given.get(name, 1) for name in needed if name != "self"})


def test_numbers_of_optimizers_and_schedules_are_numbers() -> None:
    tried = 0
    for each in _rates():
        schedule = isinstance(each, keras.optimizers.schedules.LearningRateSchedule)
        saved = codecs.StoredObject(keras.optimizers.SGD(each) if schedule else each)
        place = [found["config"] for found in places(saved.trees)][-1]
        for key, value in list(place.items()):
            if key not in (
                "$order",
                "name",
                "dtype",
                "inner_optimizer",
                "exclude_layers",
                "boundaries",
                "values",
            ):
                tried += 1
                place[key] = "x"
                with pytest.raises(IncompatibleError):
                    WATCH.load(saved)
                place[key] = value
    assert tried > 200


@pytest.mark.parametrize(
    ("key", "value"),
    [("steps_per_execution", "x"), ("steps_per_execution", 0), ("steps_per_execution", 0.5), ("loss", True),
     ("jit_compile", 2), ("jit_compile", "x"), ("run_eagerly", []), ("loss_weights", ""), ("loss", 7)],
)  # fmt: skip
def test_a_model_was_compiled_with_settings_that_keras_takes(key: str, value: Any) -> None:
    found = SAVED.copy()
    for each in codecs.everything(found.trees):
        if isinstance(each, dict) and "steps_per_execution" in each:
            each[key] = value
    with pytest.raises(IncompatibleError, match="compiled with"):
        WATCH.load(found)
    made = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    made.compile("sgd", "mse")
    made._compile_config.config[key] = value
    with pytest.raises(saver.CannotSaveError, match="compiled with"):
        saver.dumps(made)


def test_mutated_optimizers_are_sound_or_refused() -> None:
    optimizer = keras.optimizers.Adam(name="adam")
    optimizer.build([keras.Variable([[1.0, 2.0]]), keras.Variable([3.0])])
    honest, loaded = codecs.StoredObject(optimizer), 0
    for number in range(HOSTILE):
        found, draw = honest.copy(), random.Random(number)
        codecs.change(found.trees, draw)
        try:
            made = WATCH.load(found)
        except SaverError:
            continue
        loaded += 1
        if isinstance(made, keras.optimizers.Optimizer):
            made.get_config()
    assert loaded
