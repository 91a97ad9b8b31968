"""A version that is saved with an example knows what goes into it, and answers as it did."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

import pandas as pd
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import saver
from saver.errors import (
    BadInputError,
    CannotSaveError,
    IncompatibleError,
    NotFoundError,
    PredictionsDifferError,
    UntrustedError,
)
from saver.predicting import Example, Tolerance, open_predictor
from saver.repo.manifest import EXAMPLE

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
FRAME = pd.DataFrame(
    {
        "age": [20.0, 31.0, None, 55.0] * 20,
        "city": pd.Categorical(["Rome", "Oslo", "Rome", "Bern"] * 20),
        "name": ["a", "b", None, "d"] * 20,
        "rooms": pd.array([1, None, 3, 4] * 20, dtype="Int64"),
        "when": pd.date_range("2026-01-01", periods=80, tz="Europe/Rome"),
        "ok": [True, False] * 40,
        "small": np.arange(80, dtype=np.int8),
    }
)


def of_frame() -> Any:
    columns = make_column_transformer((OneHotEncoder(), ["city"]), ("passthrough", ["ok", "small"]))
    return make_pipeline(columns, LogisticRegression()).fit(FRAME, [0, 1] * 40)


def of_texts() -> Any:
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(
        ["a big cat", "a dog", "cats big"], [0, 1, 0]
    )


def scaled() -> dict[str, Any]:
    scaler = StandardScaler().fit(X)
    return {"scaler": scaler, "model": LogisticRegression().fit(scaler.transform(X), Y)}


def in_place() -> dict[str, Any]:
    """A scaler that writes over its inputs."""
    return {**scaled(), "scaler": StandardScaler(copy=False).fit(X.copy())}


MODELS: dict[str, tuple[Callable[[], Any], Any, str | None]] = {
    "estimator": (lambda: LogisticRegression().fit(X, Y), X, None),
    "regression": (lambda: LinearRegression().fit(X, X[:, 0]), X.astype(np.float32), None),
    "forest": (lambda: RandomForestClassifier(10, random_state=0).fit(X, Y), X, None),
    "network": (
        lambda: MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(X, X[:, 0]),
        X,
        None,
    ),
    "pipeline": (lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), X, None),
    "parts": (scaled, X, "scaler | model"),
    "frame": (of_frame, FRAME, None),
    "texts": (of_texts, ["big", "dog", "a cat"], None),
    "lists": (lambda: LogisticRegression().fit(X, Y), X.tolist(), None),
    "one part": (lambda: {"model": LogisticRegression().fit(X, Y), "notes": ["x"]}, X, None),
    "series": (of_texts, pd.Series(["big", "dog", "a cat"], name="text"), None),
    "transformer": (lambda: PCA(2).fit(X), X, None),
    "transformers": (lambda: make_pipeline(StandardScaler(), PCA(2)).fit(X), X, None),
    "clusters": (lambda: KMeans(2, n_init=1).fit(X), X, None),
    "several": (lambda: MultiOutputClassifier(LogisticRegression()).fit(X, np.c_[Y, Y]), X, None),
    "search": (lambda: GridSearchCV(LogisticRegression(), {"C": [1]}).fit(X, Y), X, None),
    "labels": (lambda: LogisticRegression().fit(X, np.array(["no", "yes"])[Y]), X, None),
    "columns first": (lambda: LogisticRegression().fit(X, Y), np.asfortranarray(X), None),
    "in place": (in_place, X, "scaler | model"),
    "one row": (lambda: LogisticRegression().fit(X, Y), X[:1], None),
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_its_golden_predictions_to_the_bit(name: str, tmp_path: Path) -> None:
    make, example, pipeline = MODELS[name]
    store, file = saver.Saver(tmp_path / "models"), tmp_path / "a.saver"
    store.save("model", make(), example=example, pipeline=pipeline)
    saver.dump(make(), file, example=example, pipeline=pipeline)
    for found in (store.check_predictions("model"), open_predictor(file).check()):
        assert found.same
        assert found.identical == found.rows == min(200, len(example))
    store.load("model", check_predictions=True)
    saver.load(file, check_predictions=True)
    assert store.schema("model") == store.predictor("model", check=True).schema


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parts", "frame", "network", "texts"])
def test_a_fresh_process_answers_the_same_bits(name: str, tmp_path: Path) -> None:
    make, example, pipeline = MODELS[name]
    file = tmp_path / "a.saver"
    saver.dump(make(), file, example=example, pipeline=pipeline)
    code = f"import saver; saver.load({str(file)!r}, check_predictions=True); print('same')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "same\n"


@pytest.mark.parametrize("name", MODELS)
def test_rows_become_the_container_of_the_example_again(name: str, tmp_path: Path) -> None:
    """What a model gets of rows of JSON is what it got of the example, dtypes and all."""
    from saver.predicting import libraries

    make, example, pipeline = MODELS[name]
    file = tmp_path / "a.saver"
    saver.dump(make(), file, example=example, pipeline=pipeline)
    predictor = open_predictor(file)
    _, taken = libraries.taken(example)
    columns = {key: column.values.tolist() for key, column in taken.columns.items()}
    if "when" in columns:  # as JSON has it
        columns["when"] = taken.columns["when"].values.astype(str).tolist()
    again = libraries.made(predictor.schema, predictor.schema.check(columns))
    if isinstance(example, pd.DataFrame):
        pd.testing.assert_frame_equal(again, example)
    elif isinstance(example, pd.Series):
        pd.testing.assert_series_equal(again, example)
    else:
        assert np.array_equal(np.asarray(again), np.asarray(example))
        assert type(again) is (list if isinstance(example[0], str) else np.ndarray)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    outputs = predictor.predict(predictor.from_rows(rows))
    assert len(predictor.to_rows(outputs)) == len(example)


def test_a_schema_says_what_the_example_held() -> None:
    data = saver.dumps(of_frame(), example=Example(
        FRAME, units={"age": "years"}, descriptions={"prediction": "whether it was sold"}
    ))  # fmt: skip
    import io

    schema = open_predictor(io.BytesIO(data)).schema
    age, city, rooms = schema.input("age"), schema.input("city"), schema.input("rooms")
    assert (age.dtype, age.seen.missing, age.seen.low, age.seen.high, age.unit) == (
        "float64",
        20,
        20,
        55,
        "years",
    )
    assert (city.categories, city.dtype) == (("Bern", "Oslo", "Rome"), "str")
    assert (rooms.dtype, rooms.native, rooms.seen.missing) == ("int64", "Int64", 20)
    assert (schema.container, schema.library) == ("frame", "pandas")
    assert {field.name: field.description for field in schema.outputs}["prediction"] == "whether it was sold"
    assert {field.name: field.shape for field in schema.outputs} == {
        "prediction": (None,),
        "probability": (None, 2),
    }


def test_an_unknown_category_is_refused_before_the_model_sees_it(tmp_path: Path) -> None:
    saver.dump(of_frame(), tmp_path / "a.saver", example=FRAME)
    predictor = open_predictor(tmp_path / "a.saver")
    row = {"age": 1, "city": "Pisa", "name": "x", "rooms": 1, "when": "2026-01-01", "ok": True, "small": 1}
    with pytest.raises(BadInputError, match="Pisa"):
        predictor.from_rows([row])


# Without an example, nothing changes


def test_a_version_without_an_example_says_so(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models")
    store.save("model", scaled())
    assert store.describe("model").predictions is None
    for ask in (store.schema, store.predictor, store.check_predictions):
        with pytest.raises(NotFoundError, match="example"):
            ask("model")
    with pytest.raises(NotFoundError, match="example"):
        store.load("model", check_predictions=True)


def test_the_example_is_not_among_the_parts(tmp_path: Path) -> None:
    """What is loaded, described, compared and restored are the parts that were saved."""
    store = saver.Saver(tmp_path / "models")
    for example in (None, X):
        version = store.save(
            "model", scaled(), example=example, pipeline=(example is not None and "scaler | model") or None
        )
        assert list(store.load(version)) == ["scaler", "model"]
        assert [part.name for part in store.describe(version).parts] == ["scaler", "model"]
        assert store.load(version, lazy=True).keys() == {"scaler", "model"}
        store.save("alone", scaled()["model"], example=example)
        assert type(store.load("alone")) is LogisticRegression
    assert {part.name for part in store.diff("model@1", "model@2").parts} == {"scaler", "model"}
    one, other = (store.version(f"model@{n}").parts for n in (1, 2))
    assert {name: part.hash for name, part in one.items()} == {
        name: part.hash for name, part in other.items() if name != EXAMPLE
    }


# What moved is found


class Shifted(LinearRegression):
    """A regression whose answers another release might round differently."""

    by = 0.0

    def predict(self, inputs: Any) -> Any:
        return super().predict(inputs) + type(self).by


def shifted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: float, tolerance: Any = 0.0) -> Any:
    file = tmp_path / "a.saver"
    saver.dump(Shifted().fit(X, X[:, 0]), file, example=Example(X, tolerance=tolerance))
    monkeypatch.setattr(Shifted, "by", by)
    return open_predictor(file, trust=["*.Shifted"]).check()


def test_a_difference_is_measured_and_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = shifted(monkeypatch, tmp_path, 0.5)
    assert (found.identical, found.same) == (0, False)
    assert found.differing[0].output == "prediction"
    assert found.differing[0].largest == pytest.approx(0.5)
    assert "0 of 200 identical" in str(found)
    with pytest.raises(PredictionsDifferError, match=r"200 rows by at most 0\.5"):
        saver.load(tmp_path / "a.saver", trust=["*.Shifted"], check_predictions=True)
    with pytest.raises(PredictionsDifferError):
        open_predictor(tmp_path / "a.saver", trust=["*.Shifted"], check=True)


@pytest.mark.parametrize(
    ("tolerance", "same"), [(0.4, False), (0.6, True), (Tolerance(relative=1e9), True), (0, False)]
)
def test_a_difference_within_the_tolerance_is_said_and_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tolerance: Any, same: bool
) -> None:
    found = shifted(monkeypatch, tmp_path, 0.5, tolerance)
    assert (found.same, found.identical) == (same, 0)
    assert found.differing[0].rows == 200


def test_what_is_different_here_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The packages that the model comes from, with the versions of then and now."""
    import msgspec

    from saver.opening import open_file
    from saver.predicting import predictor_of

    model, scaler = Shifted().fit(X, X[:, 0]), StandardScaler().fit(X)
    saver.dump({"a": scaler, "b": model}, tmp_path / "a.saver", example=X, pipeline="a | b")
    monkeypatch.setattr(Shifted, "by", 0.5)
    opened = open_file(tmp_path / "a.saver")
    packages = {**opened.manifest.environment["packages"], "sklearn": "1.0.2"}
    environment = {**opened.manifest.environment, "packages": packages}
    opened.manifest = msgspec.structs.replace(opened.manifest, environment=environment)
    with pytest.warns(saver.VersionWarning):
        found = predictor_of(opened, ["*.Shifted"]).check()
    (moved,) = [each for each in found.moved if each.topic == "scikit-learn"]
    assert moved.recorded == "1.0.2"
    assert "scikit-learn 1.0.2 → " in str(found)


class Broken(LinearRegression):
    why = ""

    def predict(self, inputs: Any) -> Any:
        if type(self).why:
            raise AttributeError(type(self).why)
        return super().predict(inputs)


def test_a_model_that_raises_now_does_not_answer_as_it_did(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    saver.dump(Broken().fit(X, X[:, 0]), tmp_path / "a.saver", example=X)
    monkeypatch.setattr(Broken, "why", "no attribute multi_class")
    found = open_predictor(tmp_path / "a.saver", trust=["*.Broken"]).check()
    assert (found.same, found.identical) == (False, 0)
    with pytest.raises(PredictionsDifferError, match="AttributeError: no attribute multi_class"):
        saver.load(tmp_path / "a.saver", trust=["*.Broken"], check_predictions=True)


# What cannot be recorded is said at the save


class Random(LinearRegression):
    def predict(self, inputs: Any) -> Any:
        return super().predict(inputs) + np.random.default_rng().normal(size=len(inputs))


class Fewer(LinearRegression):
    def predict(self, inputs: Any) -> Any:
        return super().predict(inputs)[:-1]


def fitted() -> Any:
    return LinearRegression().fit(X, X)


def answer_object(parts: Any, batch: Any) -> Any:
    return {"a": object()}


UNSOUND: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no rows": (fitted, {"example": X[:0]}, "no rows"),
    "no container": (fitted, {"example": object()}, "object"),
    "no model": (lambda: {"a": [1]}, {"example": X}, "none of the parts"),
    "two models": (lambda: {"a": fitted(), "b": fitted()}, {"example": X}, "several predict"),
    "a scaler beside it": (scaled, {"example": X}, "before 'model'"),
    "no such part": (scaled, {"example": X, "pipeline": "scaler | other"}, "other"),
    "no step": (lambda: {"a": [1], "b": fitted()}, {"example": X, "pipeline": "a | b"}, "'a'"),
    "random": (lambda: Random().fit(X, X[:, 0]), {"example": X}, "twice"),
    "fewer rows": (lambda: Fewer().fit(X, X[:, 0]), {"example": X}, "row for each"),
    "different lengths": (fitted, {"example": {"a": X, "b": X[:3]}}, "rows"),
    "columns without names": (fitted, {"example": pd.DataFrame(X)}, "names"),
    "other columns": (fitted, {"example": X[:, :2]}, "does not answer it: ValueError"),
    "too many steps": (scaled, {"example": X, "pipeline": "scaler | " * 70 + "model"}, "at most 64"),
    "a mask": (fitted, {"example": np.ma.masked_array(X, X > 1)}, "MaskedArray"),
    "another output": (lambda: {"a": [1]}, {"example": X, "pipeline": answer_object}, "no form as an array"),
    "objects": (fitted, {"example": pd.DataFrame({"a": [object()] * 3})}, "object"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_has_no_schema_is_said_at_the_save_and_nothing_is_saved(name: str, tmp_path: Path) -> None:
    make, arguments, message = UNSOUND[name]
    store = saver.Saver(tmp_path / "models")
    with pytest.raises(CannotSaveError, match=message):
        store.save("model", make(), **arguments)
    assert not store.exists()


@pytest.mark.parametrize(
    "arguments", [{"pipeline": "model"}, {"example": Example(X, units={"other": "m"})},
                  {"example": X, "pipeline": 3}, {"example": X, "pipeline": print},
                  {"example": Example(X, shapes={"input": (None, 5)})}, {"example": X, "cluster": "solo"}],
)  # fmt: skip
def test_arguments_that_contradict_each_other_are_refused(arguments: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError)):
        saver.Saver(tmp_path / "models").save("model", LinearRegression().fit(X, X), **arguments)


@pytest.mark.parametrize("wrong", [-1, np.nan, np.inf, "x", Tolerance(relative=-1)])
def test_a_tolerance_is_a_number_that_is_not_negative(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="tolerance"):
        Example(X, tolerance=wrong)


def test_a_save_with_an_example_changes_neither_the_model_nor_random_states() -> None:
    import random

    model = LogisticRegression().fit(X, Y)

    def state() -> Any:
        return {**model.__dict__}.__repr__(), random.getstate(), np.random.get_state()[1].tolist()

    before = state()
    saver.dumps(model, example=X)
    assert state() == before


class Drawing(LinearRegression):
    def predict(self, inputs: Any) -> Any:
        np.random.normal(size=3)
        return super().predict(inputs)


def test_a_model_that_draws_numbers_moves_no_generator(tmp_path: Path) -> None:
    """Neither when its answers are recorded nor when they are checked."""
    np.random.seed(0)
    before = np.random.get_state()[1].tolist(), np.random.get_state()[2]
    saver.dump(Drawing().fit(X, X[:, 0]), tmp_path / "a.saver", example=X)
    saver.load(tmp_path / "a.saver", trust=["*"], check_predictions=True)
    assert (np.random.get_state()[1].tolist(), np.random.get_state()[2]) == before


def test_a_reviewed_function_is_not_trusted_with_all_parts(tmp_path: Path) -> None:
    """A function that files may hold as a value is not one that may answer."""
    from saver import trust
    from saver.opening import open_file
    from saver.predicting.record import Record
    from saver.tree import Node

    saver.dump(scaled(), tmp_path / "a.saver", example=X, pipeline="scaler | model")
    example = open_file(tmp_path / "a.saver").example
    assert example is not None
    name = next(name for name in trust.references() if name.startswith("numpy:"))
    root = {**example.trees[EXAMPLE].root, "pipeline": Node("function", name)}
    with pytest.raises(UntrustedError, match=name.replace(":", ".")):
        Record(_with(example, root)).call(trust.allowed(()))


def test_rows_are_taken_from_end_to_end_and_bounded_in_bytes() -> None:
    from saver.predicting.recording import record

    found = record(LinearRegression().fit(X, X), X)
    assert np.array_equal(found.inputs[0], X[0])
    assert np.array_equal(found.inputs[-1], X[-1])
    wide = np.zeros((50, 200_000))
    found = record(LinearRegression().fit(wide[:, :4], wide[:, 0]), wide[:, :4])
    assert found.rows == 50
    assert record({"f": [1]}, wide, answer_sum).rows == (4 << 20) // wide[0].nbytes


def answer_sum(parts: Any, batch: Any) -> Any:
    return {"sum": np.asarray(batch).sum(axis=1)}


def test_a_function_of_a_module_answers_once_it_is_trusted(tmp_path: Path) -> None:
    file, name = tmp_path / "a.saver", f"{__name__}.answer_sum"
    saver.dump({"w": [1]}, file, example=X, pipeline=answer_sum)
    assert saver.load(file) == {"w": [1]}
    assert saver.describe(file).predictions.pipeline == name
    with pytest.raises(UntrustedError, match="answer_sum"):
        open_predictor(file)
    predictor = open_predictor(file, trust=[name], check=True)
    assert predictor.outputs == ("sum",)
    assert open_predictor(file, classes={name: answer_sum}).check().same


def test_a_function_without_a_name_cannot_be_saved() -> None:
    with pytest.raises(CannotSaveError):
        saver.dumps({"w": [1]}, example=X, pipeline=lambda parts, batch: batch)


def test_only_the_parts_of_the_pipeline_are_loaded(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models")
    store.save("model", {**scaled(), "mine": Shifted()}, example=X, pipeline="scaler | model")
    assert store.check_predictions("model").same  # which needs no trust for `mine`


def test_only_some_outputs_are_computed(tmp_path: Path) -> None:
    saver.dump(scaled(), tmp_path / "a.saver", example=X, pipeline="scaler | model")
    predictor = open_predictor(tmp_path / "a.saver")
    inputs = predictor.schema.check({"input": X})
    assert list(predictor.predict(inputs, only=("probability",))) == ["probability"]
    assert list(predictor.predict(inputs)) == ["prediction", "probability"]


def test_arrays_by_name_are_what_a_function_gets(tmp_path: Path) -> None:
    file = tmp_path / "a.saver"
    example = {"a": np.arange(6.0).reshape(3, 2), "b": np.arange(3)}
    saver.dump({"w": [1]}, file, example=Example(example, shapes={"a": (None, None)}), pipeline=answer_both)
    predictor = open_predictor(file, trust=["*.answer_both"], check=True)
    assert predictor.schema.input("a").shape == (None, None)
    found = predictor.predict(predictor.from_rows([{"a": [1, 2, 3], "b": 4}]))
    assert found["both"].tolist() == [10.0]


def answer_both(parts: Any, batch: Any) -> Any:
    return {"both": batch["a"].sum(axis=1) + batch["b"]}


def test_a_record_that_no_saver_writes_is_refused(tmp_path: Path) -> None:
    from saver.opening import open_file
    from saver.predicting.record import Record, record_of

    saver.dump(scaled(), tmp_path / "a.saver", example=X, pipeline="scaler | model")
    example = open_file(tmp_path / "a.saver").example
    assert example is not None
    root = example.trees[EXAMPLE].root
    changes: list[dict[str, Any]] = [
        {"schema": {}}, {"rows": 0}, {"rows": "x"}, {"rows": 10**9}, {"tolerance": 5},
        {"tolerance": {"absolute": "x"}},
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(IncompatibleError):
            Record(_with(example, {**root, **change}))
    for missing in ("schema", "inputs", "outputs", "pipeline"):
        with pytest.raises(IncompatibleError):
            Record(_with(example, {key: value for key, value in root.items() if key != missing}))
    for how in (5, None, [1], root["inputs"]):
        with pytest.raises(IncompatibleError):
            assert Record(_with(example, {**root, "pipeline": how})).pipeline
    assert record_of(open_file(tmp_path / "a.saver")) is not None


def _with(opened: Any, root: Any) -> Any:
    import copy

    import msgspec

    found = copy.copy(opened)
    found.trees = {EXAMPLE: msgspec.structs.replace(opened.trees[EXAMPLE], root=root)}
    return found
