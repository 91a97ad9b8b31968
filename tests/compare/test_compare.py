"""What changed between two versions, by the paths that people take."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saver
from saver.compare import ArrayChange, ArrayInfo, Difference, Field, compare, sections
from saver.opening import open_file
from saver.training_log import TrainingLog

Compare = Callable[[Any, Any], Difference]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Compare:
    """Saves two objects and compares the files."""
    folder = tmp_path_factory.mktemp("compared")

    def run(old: Any, new: Any) -> Difference:
        saver.dump(old, folder / "old.saver")
        saver.dump(new, folder / "new.saver")
        return compare(open_file(folder / "old.saver"), open_file(folder / "new.saver"))

    return run


def fields(found: Difference) -> dict[str, tuple[str | None, str | None]]:
    return {field.path: (field.old, field.new) for field in found.fields}


def arrays(found: Difference) -> dict[str, ArrayChange]:
    return {array.path: array for array in found.arrays}


# Plain values


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(value=plain_values)
def test_what_is_saved_twice_does_not_differ(value: Any, told: Compare) -> None:
    found = told(value, copy.deepcopy(value))
    assert not found
    assert found.same
    assert found.summary() == "no difference"


@pytest.mark.slow
@given(old=plain_values, new=plain_values)
def test_what_differs_is_reported_and_nothing_else(old: Any, new: Any, told: Compare) -> None:
    found = told([old], [new])
    (part,) = found.parts
    assert (part.status == "changed") == bool(found) == bool(found.fields or found.arrays)
    if part.old_hash == part.new_hash:
        assert not found
    if repr(old) != repr(new):
        assert found


@pytest.mark.parametrize(
    ("old", "new", "texts"),
    [
        (1, 2, ("1", "2")),
        (1, 1.0, ("1", "1.0")),
        (1, True, ("1", "True")),
        (0.0, -0.0, ("0.0", "-0.0")),
        (None, "None", ("None", "'None'")),
        (float("nan"), float("inf"), ("nan", "inf")),
        (2**60, 2**61, ("0x1000000000000000", "0x2000000000000000")),
        ((1, 2), [1, 2], ("(1, 2)", "[1, 2]")),
        ((64,), (64, 10), ("(64,)", "(64, 10)")),
        ({1, 2}, frozenset({1, 2}), ("{1, 2}", "frozenset({1, 2})")),
        (b"a", bytearray(b"a"), ("b'a'", "bytearray(b'a')")),
        (np.float64(1.5), 1.5, ("np.float64(1.5)", "1.5")),
        (np.float32("nan"), np.float32(0), ("np.float32(nan)", "np.float32(0.0)")),
        (np.float64, np.float32, ("numpy.float64", "numpy.float32")),
        (np.log1p, len, ("numpy.log1p", "builtins.len")),
        (1 + 2j, 1 + 3j, ("complex(1.0, 2.0)", "complex(1.0, 3.0)")),
        (slice(1), range(3), ("slice(None, 1, None)", "range(0, 3, 1)")),
        (..., None, ("singleton('Ellipsis')", "None")),
        ({}, {"a": 1}, None),
        ("line\n\x1b[2J", "", (r"'line\n\x1b[2J'", "''")),
    ],
    ids=str,
)
def test_values_are_shown_as_python_writes_them(old: Any, new: Any, texts: Any, told: Compare) -> None:
    found = fields(told([old], [new]))
    assert found == (
        {"model/0.a": (None, "1")} if texts is None else {"model": _listed(texts)} if texts else {}
    )


def _listed(texts: tuple[str, str]) -> tuple[str, str]:
    return f"[{texts[0]}]", f"[{texts[1]}]"


def test_fields_are_reached_by_attribute_key_and_index(told: Compare) -> None:
    old = {"run": {"rate": 0.1, "two words": 1, 7: [np.zeros(2), {"deep": 1}]}}
    new = {"run": {"rate": 0.2, "two words": 2, 7: [np.zeros(2), {"deep": 2}]}}
    assert fields(told(old, new)) == {
        "run/rate": ("0.1", "0.2"),
        'run/["two words"]': ("1", "2"),
        "run/7.1.deep": ("1", "2"),
    }


def test_long_sequences_are_compared_item_by_item(told: Compare) -> None:
    old = [f"feature number {n}" for n in range(20)]
    new = [*old[:5], "another", *old[6:]]
    assert fields(told(old, new)) == {"model/5": ("'feature number 5'", "'another'")}


@pytest.mark.parametrize("length", [150, 400, 5000])
def test_a_long_text_is_shown_where_it_changes(length: int, told: Compare) -> None:
    text = "a" * length + "left" + "b" * length
    found = told({"text": text}, {"text": text.replace("left", "right")})
    (row,) = next(section.rows for section in sections(found) if section.title == "Fields")
    assert row[0] == "text"
    assert "left" in row[1]
    assert "right" in row[2]
    assert max(map(len, row)) < 250


def test_a_whole_that_came_or_went_is_one_line(told: Compare) -> None:
    found = told([{"a": {"b": 1, "c": {"d": 2}}}], [{"e": [None]}])
    assert fields(found) == {"model/0.a": ("dict of 2", None), "model/0.e": (None, "[None]")}


def test_the_order_of_a_dict_is_part_of_its_value(told: Compare) -> None:
    found = told([{"a": 1, "b": 2}], [{"b": 2, "a": 1}])
    assert fields(found) == {"model/0 (order)": ("a, b", "b, a")}


def test_parts_come_go_and_stay(told: Compare) -> None:
    found = told({"a": 1, "b": np.zeros(99), "c": 2}, {"b": np.zeros(99), "c": 3, "d": np.ones(99)})
    assert [(part.name, part.status) for part in found.parts] == [
        ("a", "removed"),
        ("b", "same"),
        ("c", "changed"),
        ("d", "added"),
    ]
    assert found.parts[3].old_hash is None
    assert fields(found) == {"c": ("2", "3")}
    assert found.arrays == ()


def test_one_object_is_not_a_mapping_of_one(told: Compare) -> None:
    found = told(5, {"model": 5})
    assert found.facts == (Field("form", "one object", "a mapping of parts"),)
    assert found


# Sharing


def test_what_is_shared_in_one_version_only_is_reported(told: Compare) -> None:
    weights = np.arange(200.0)
    found = told({"a": weights, "b": [weights]}, {"a": weights, "b": [weights.copy()]})
    assert fields(found) == {"b/0": ("the same as a", "a separate object")}
    assert found.arrays == ()


def test_values_are_compared_where_sharing_ends(told: Compare) -> None:
    weights = np.arange(200.0)
    found = told([weights, weights], [weights, weights + 1])
    assert list(arrays(found)) == ["model/1"]


def test_which_part_is_saved_first_makes_no_difference(told: Compare) -> None:
    shared = {"x": np.arange(200.0), "y": [1, [2]]}
    found = told({"a": shared, "b": [shared]}, {"b": [shared], "a": shared})
    assert found.fields == ()
    assert not found


def test_a_cycle_is_walked_once(told: Compare) -> None:
    def looped(value: int) -> Any:
        found: list[Any] = [np.arange(100.0) + value]
        found.append({"self": found, "value": value})
        return found

    assert not told(looped(1), looped(1))
    found = told(looped(1), looped(2))
    assert fields(found) == {"model/1.value": ("1", "2")}
    assert list(arrays(found)) == ["model/0"]


# Arrays


def test_an_array_that_changed_is_measured(told: Compare) -> None:
    old = np.zeros((10, 20))
    old[0, 0] = 3.0
    new = old.copy()
    new[2, 3:5] = 4.0
    found = told({"w": old}, {"w": new})
    (change,) = found.arrays
    assert change.path == "w"
    assert change.old == change.new == ArrayInfo("F64", (10, 20))
    assert msgspec.to_builtins(change.amount) == {
        "entries": 200,
        "changed": 2,
        "share": 0.01,
        "norm": pytest.approx(np.sqrt(32)),
        "relative": pytest.approx(np.sqrt(32) / 3),
        "largest": 4.0,
        "not_finite": (0, 0),
    }


def test_small_arrays_are_shown_by_their_values(told: Compare) -> None:
    found = told({"mean": np.array([[1.5, 2.0]]), "classes": np.array(["a", "b"])},
                 {"mean": np.array([[1.5, 2.5]]), "classes": np.array(["a", "c"])})  # fmt: skip
    values = {path: (a.old and a.old.values, a.new and a.new.values) for path, a in arrays(found).items()}
    assert values == {"mean": ("[[1.5, 2]]", "[[1.5, 2.5]]"), "classes": ("['a', 'b']", "['a', 'c']")}


def test_values_that_differ_beyond_six_digits_are_shown_in_full(told: Compare) -> None:
    (change,) = told([np.array(1.0)], [np.array(1.0 + 1e-12)]).arrays
    assert change.new is not None
    assert change.new.values == "1.000000000001"


@pytest.mark.parametrize("count", [4, 400])
def test_another_shape_or_dtype_is_reported_and_not_measured(count: int, told: Compare) -> None:
    found = told({"a": np.zeros((2, count)), "b": np.zeros(count)},
                 {"a": np.zeros((2, count + 1)), "b": np.zeros(count, np.float32)})  # fmt: skip
    a, b = found.arrays
    assert (a.old and a.old.shape, a.new and a.new.shape, a.amount) == ((2, count), (2, count + 1), None)
    assert (b.old and b.old.dtype, b.new and b.new.dtype, b.amount) == ("F64", "F32", None)


def test_of_an_array_that_grew_the_common_rows_are_compared(told: Compare) -> None:
    old = np.arange(300.0).reshape(100, 3)
    new = np.vstack([old, np.ones((5, 3))])
    new[7] += 1
    (change,) = told([old], [new]).arrays
    assert change.amount is not None
    assert (change.amount.entries, change.amount.changed) == (300, 3)


@pytest.mark.parametrize("size", [5, 50])
def test_the_order_in_memory_makes_no_difference_to_the_amount(size: int, told: Compare) -> None:
    old = np.arange(float(2 * size)).reshape(2, size)
    new = old.copy()
    new[1, 2] += 2
    for one, other in [(np.asfortranarray(old), new), (old, np.asfortranarray(new))]:
        (change,) = told([one], [other]).arrays
        assert change.amount is not None
        assert (change.amount.changed, change.amount.norm) == (1, 2.0)
        assert change.old is not None
        assert change.old.shape == (2, size)
    assert not told([np.asfortranarray(old)], [np.asfortranarray(old)])


def test_long_runs_of_numbers_and_strings_are_arrays(told: Compare) -> None:
    losses = [1 / n for n in range(1, 101)]
    names = [f"feature {n}" for n in range(100)]
    renamed = [*names[:3], "x", *names[4:]]
    found = arrays(told({"loss": losses, "names": names}, {"loss": [*losses, 0.5], "names": renamed}))
    assert found["loss"].new is not None
    assert (found["loss"].new.shape, found["loss"].amount and found["loss"].amount.changed) == ((101,), 0)
    assert found["names"].amount is not None
    assert (found["names"].amount.changed, found["names"].amount.entries) == (1, 100)
    assert found["names"].amount.norm is None


def test_what_is_unchanged_is_never_read_and_what_changed_is_verified(tmp_path: Path) -> None:
    paths = tmp_path / "old.saver", tmp_path / "new.saver"
    saver.dump({"kept": np.arange(1000.0), "moved": np.arange(1000.0)}, paths[0])
    saver.dump({"kept": np.arange(1000.0), "moved": np.arange(1000.0) + 1}, paths[1])
    entries = open_file(paths[1]).tensors
    for name, damaged in (("kept", False), ("moved", True)):
        raw = bytearray(paths[1].read_bytes())
        at = raw.index(entries.read(name).tobytes())
        raw[at] ^= 1
        (tmp_path / "bad.saver").write_bytes(raw)
        views = open_file(paths[0]), open_file(tmp_path / "bad.saver")
        if damaged:
            with pytest.raises(saver.DamagedError, match="moved"):
                compare(*views)
        else:
            assert compare(*views).unchanged == 1


def test_progress_counts_the_bytes_of_both_sides(tmp_path: Path) -> None:
    paths = tmp_path / "old.saver", tmp_path / "new.saver"
    saver.dump({"same": np.zeros(500), "a": np.zeros(100), "b": np.zeros(100)}, paths[0])
    saver.dump({"same": np.zeros(500), "a": np.ones(100), "b": np.ones(100)}, paths[1])
    seen: list[tuple[int, int]] = []
    compare(*map(open_file, paths), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1600, 3200), (3200, 3200)]


# scikit-learn


@pytest.mark.slow
def test_an_estimator_is_compared_by_parameters_and_learned_values(told: Compare) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rows, labels = np.random.default_rng(0).random((60, 20)), np.arange(60) % 3
    old, new = (linear.LogisticRegression(C=c).fit(rows, labels) for c in (1, 10))
    found = told(old, new)
    assert fields(found) == {"model/C": ("1", "10")}
    assert {"model/coef_", "model/intercept_"} <= arrays(found).keys() <= {
        "model/coef_", "model/intercept_", "model/n_iter_",
    }  # fmt: skip
    amount = arrays(found)["model/coef_"].amount
    assert amount is not None
    assert amount.norm == pytest.approx(np.linalg.norm(new.coef_ - old.coef_))
    assert "model/classes_" not in arrays(found)


def test_steps_of_a_pipeline_are_compared_by_name(told: Compare) -> None:
    pytest.importorskip("sklearn")
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.random.default_rng(0).random((60, 4))
    old = Pipeline([("scale", StandardScaler()), ("fit", Ridge(alpha=1.0))]).fit(rows, rows[:, 0])
    steps = [("scale", StandardScaler()), ("reduce", PCA(4)), ("fit", Ridge(alpha=2.0))]
    found = told(old, Pipeline(steps).fit(rows * 2, rows[:, 0]))
    assert fields(found)["model/steps.fit.alpha"] == ("1.0", "2.0")
    assert fields(found)["model/steps.reduce"] == (None, "sklearn.decomposition._pca.PCA")
    assert not any(path.startswith("model/steps.reduce.") for path in fields(found))
    mean = arrays(found)["model/steps.scale.mean_"]
    assert mean.amount is not None
    assert mean.amount.relative == pytest.approx(1.0)
    components = arrays(found)["model/steps.reduce.components_"]
    assert components.old is None
    moved = Pipeline([("fit", Ridge(alpha=1.0)), ("scale", StandardScaler())])
    assert fields(told(Pipeline([*reversed(moved.steps)]), moved)) == {
        "model/steps (order)": ("scale, fit", "fit, scale")
    }


def test_another_class_is_reported_beside_what_both_have(told: Compare) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    found = fields(told({"m": linear.Ridge(alpha=1.0)}, {"m": linear.Lasso(alpha=2.0)}))
    assert found["m"] == (
        "sklearn.linear_model._ridge.Ridge",
        "sklearn.linear_model._coordinate_descent.Lasso",
    )
    assert found["m/alpha"] == ("1.0", "2.0")
    assert found["m/selection"] == (None, "'cyclic'")


def test_the_trees_of_a_forest_are_compared_together(told: Compare) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rows = np.random.default_rng(0).random((60, 4))
    old, new = (ensemble.RandomForestRegressor(3, random_state=s).fit(rows, rows[:, 0]) for s in (1, 2))
    found = told({"forest": old}, {"forest": new})
    assert "forest/sklearn.tree.threshold" in arrays(found)
    assert fields(found)["forest/random_state"] == ("1", "2")
    assert "forest/estimators_.2.random_state" in fields(found)
    assert not told({"forest": old}, {"forest": copy.deepcopy(old)})


# PyTorch


@pytest.fixture(scope="module")
def training() -> Any:
    """Parts before and after a few steps of training, of which only some rows of an embedding were seen."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Embedding(100, 16), torch.nn.Flatten(), torch.nn.Linear(32, 100, bias=False)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    parts = {"model": net, "optimizer": optimizer, "scheduler": scheduler}

    def step() -> None:
        optimizer.zero_grad()
        net(torch.tensor([[1, 2], [3, 4]])).square().sum().backward()
        optimizer.step()
        scheduler.step()

    step()
    before = copy.deepcopy(parts)
    step()
    return before, parts


def test_training_is_compared_by_layer(training: Any, told: Compare) -> None:
    found = told(*training)
    assert list(arrays(found)) == [
        "model/0.weight",
        "model/2.weight",
        "optimizer/state.0.momentum_buffer",
        "optimizer/state.1.momentum_buffer",
    ]
    rows, dense = arrays(found)["model/0.weight"].amount, arrays(found)["model/2.weight"].amount
    assert rows is not None
    assert dense is not None
    assert rows.share == 0.04
    assert dense.share > 0.9
    before, after = (side["model"][2].weight.detach().double().numpy() for side in training)
    assert dense.norm == pytest.approx(np.linalg.norm(after - before))
    told_of = fields(found)
    assert told_of["optimizer/param_groups.0.lr"] == ("0.001", "0.0001")
    assert told_of["scheduler/last_epoch"] == ("1", "2")


def test_a_state_dict_has_the_paths_of_its_module(training: Any, told: Compare) -> None:
    old, new = ({name: part.state_dict() for name, part in side.items()} for side in training)
    found = told(old, new)
    assert {"model/0.weight", "optimizer/state.0.momentum_buffer"} <= arrays(found).keys()
    assert fields(found)["optimizer/param_groups.0.lr"] == ("0.001", "0.0001")


def test_the_state_of_an_optimizer_is_compared_by_the_number_of_the_parameter(told: Compare) -> None:
    torch = pytest.importorskip("torch")
    parameters = [torch.nn.Parameter(torch.ones(3)) for _ in range(3)]
    optimizer = torch.optim.Adam(parameters)
    parameters[2].grad = torch.ones(3)
    optimizer.step()
    before = copy.deepcopy(optimizer)
    parameters[1].grad = torch.ones(3)
    optimizer.step()
    found = told({"optimizer": before}, {"optimizer": optimizer})
    step = arrays(found)["optimizer/state.2.step"]
    assert (step.old and step.old.values, step.new and step.new.values) == ("1", "2")
    assert fields(found)["optimizer/state.1"] == (None, "dict of 3")


def test_tied_weights_are_reported_once_and_untying_is_noted(told: Compare) -> None:
    torch = pytest.importorskip("torch")

    def net(value: float, tied: bool) -> Any:
        parts = torch.nn.ModuleDict({"encode": torch.nn.Linear(9, 9), "decode": torch.nn.Linear(9, 9)})
        for part in parts.values():
            torch.nn.init.constant_(part.weight, value)
            torch.nn.init.zeros_(part.bias)
        if tied:
            parts["decode"].weight = parts["encode"].weight
        return parts

    assert list(arrays(told(net(1, True), net(2, True)))) == ["model/encode.weight"]
    found = told(net(1, True), net(1, False))
    assert fields(found) == {"model/decode.weight": ("the same as model/encode.weight", "a separate object")}
    assert found.arrays == ()


def test_views_of_one_memory_are_compared_each_for_itself(told: Compare) -> None:
    """As the weights of recurrent networks lie on a GPU, and as they do not on a CPU."""
    torch = pytest.importorskip("torch")
    memory = torch.arange(400.0)
    names = ("w", "v")
    views = dict(zip(names, (memory[:100].view(10, 10), memory[100:].view(10, 30)), strict=True))
    alone = {name: view.clone() for name, view in views.items()}
    assert not told({"net": views}, {"net": alone})
    alone["v"][0, 0] += 1
    for old, new in ((views, alone), (alone, views)):
        (change,) = told({"net": old}, {"net": new}).arrays
        assert change.path == "net/v"
        assert change.amount is not None
        assert change.amount.changed == 1


def test_a_transposed_view_is_measured_against_a_plain_tensor(told: Compare) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(200.0).reshape(10, 20)
    old = {"base": base, "turned": base.T}
    new = {"base": base, "turned": base.T.contiguous()}
    assert told(old, new).arrays == ()
    new["turned"][3, 4] += 2
    (change,) = told(old, new).arrays
    assert (change.path, change.amount and change.amount.largest) == ("turned", 2.0)


def test_freezing_a_layer_is_reported(told: Compare) -> None:
    torch = pytest.importorskip("torch")
    old = torch.nn.Linear(3, 3)
    new = copy.deepcopy(old)
    new.weight.requires_grad_(False)
    new.eval()
    assert fields(told(old, new)) == {
        "model/training": ("True", "False"),
        "model/weight.requires_grad": ("True", "False"),
    }


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "complex64", "bool"]
)
def test_every_dtype_of_torch_is_measured(dtype: str, told: Compare) -> None:
    torch = pytest.importorskip("torch")
    old = torch.zeros(300).to(getattr(torch, dtype))
    new = old.clone()
    new[5] = 1
    (change,) = told([old], [new]).arrays
    assert change.amount is not None
    assert (change.amount.entries, change.amount.changed, change.amount.norm) == (300, 1, 1.0)


def test_a_dtype_without_numbers_here_is_compared_as_bytes(told: Compare) -> None:
    torch = pytest.importorskip("torch")
    old = torch.zeros(300, dtype=torch.uint8).view(torch.float8_e4m3fnuz)
    new = old.clone()
    new.view(torch.uint8)[5] = 8
    (change,) = told([old], [new]).arrays
    assert change.new is not None
    assert (change.new.dtype, change.amount and change.amount.changed) == ("float8_e4m3fnuz", 1)


# Whole versions


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    return saver.Saver(tmp_path / "models")


def test_versions_of_a_store_are_compared_in_what_is_around_their_parts(store: saver.Saver) -> None:
    rows = np.arange(50.0)
    store.save(
        "m", {"a": 1, "b": [1]}, step=1, metrics={"loss": 0.5, "old": 1.0}, data={"x": rows, "y": rows}
    )
    store.save("m", {"a": 2, "b": [1]}, step=2, metrics={"loss": 0.25, "nan": float("nan")}, notes="better",
               data={"x": rows, "y": rows + 1, "z": rows})  # fmt: skip
    found = store.diff("m@1", "m@2")
    assert (found.old.endswith("m@1"), found.new.endswith("m@2")) == (True, True)
    assert [(part.name, part.status, part.old_version, part.new_version) for part in found.parts] == [
        ("a", "changed", 1, 2),
        ("b", "same", 1, 1),
    ]
    metrics = {metric.name: (metric.old, metric.new, metric.delta) for metric in found.metrics}
    assert metrics == {"loss": (0.5, 0.25, -0.25), "old": (1.0, None, None), "nan": (None, "nan", None)}
    assert [(item.name, item.status) for item in found.data] == [
        ("x", "same"),
        ("y", "changed"),
        ("z", "added"),
    ]
    assert found.facts == (Field("step", "1", "2"), Field("notes", None, "better"))
    assert found.environment == ()


def test_versions_that_differ_in_number_and_time_only_do_not_differ(store: saver.Saver) -> None:
    for _ in range(2):
        store.save("m", {"a": np.arange(100.0)}, metrics={"loss": float("nan")}, data=np.arange(3))
    assert not store.diff("m@1", "m@2")


@pytest.mark.parametrize(
    "more",
    [{"metrics": {"loss": 1}}, {"notes": "n"}, {"step": 1}, {"data": np.zeros(3)}, {"seeds": 5}],
    ids=str,
)
def test_any_circumstance_makes_a_difference(more: Any, store: saver.Saver) -> None:
    store.save("m", 1)
    store.save("m", 1, **more)
    found = store.diff("m@1", "m@2")
    assert found
    assert [part.status for part in found.parts] == ["same"]
    assert not store.diff("m@2", "m@2")


def test_another_environment_is_reported_by_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def random(number: int) -> Any:
        generators = {"python": f"state {number}", "torch": f"seed {number}"}
        return {"seeds": {"$.model.random_state": number}, "generators": generators}

    recorded = {
        "python": "3.11.7",
        "packages": {"numpy": "1.26.4", "gone": "1"},
        "git": {"commit": "a" * 40, "dirty": False},
        "random": random(1),
    }
    later = copy.deepcopy(recorded) | {"packages": {"numpy": "2.5.0", "new": "2"}, "random": random(2)}
    later["git"]["dirty"] = None
    for name, environment in (("old", recorded), ("new", later)):
        with monkeypatch.context() as patch:
            patch.setattr(saver.environment, "describe", lambda *_, e=environment: e)
            saver.dump(1, tmp_path / name)
    found = compare(open_file(tmp_path / "old"), open_file(tmp_path / "new"))
    assert found.environment == (
        Field("git.dirty", "False", None),
        Field("packages.gone", "1", None),
        Field("packages.numpy", "1.26.4", "2.5.0"),
        Field("random.generators.torch", "seed 1", "seed 2"),
        Field("packages.new", None, "2"),
    )


def test_an_object_without_seeds_does_not_differ_from_one_with_some(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    from sklearn.ensemble import RandomForestClassifier

    saver.dump(RandomForestClassifier(), tmp_path / "without")
    saver.dump(RandomForestClassifier(random_state=0), tmp_path / "with")
    found = compare(open_file(tmp_path / "without"), open_file(tmp_path / "with"))
    assert found.environment == ()
    assert "random_state" in str(found)


def test_a_process_that_saves_later_makes_no_difference(tmp_path: Path) -> None:
    code = "import saver, sys, random; random.random(); saver.dump({'a': [1, 2]}, sys.argv[1])"
    paths = [tmp_path / "1.saver", tmp_path / "2.saver"]
    for path in paths:
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert not compare(*map(open_file, paths))


def test_json_holds_everything_and_no_word_that_json_lacks(store: saver.Saver) -> None:
    store.save("m", {"a": np.array([0.0, np.nan]), "b": 1}, metrics={"loss": float("inf")})
    store.save("m", {"a": np.array([1.7e308, np.inf]), "b": float("nan")}, metrics={"loss": 1})
    found = store.diff("m@1", "m@2")
    text = json.dumps(msgspec.to_builtins(found), allow_nan=False)
    assert msgspec.json.decode(text, type=Difference) == found
    assert json.loads(text)["metrics"] == [{"name": "loss", "old": "inf", "new": 1.0, "delta": "-inf"}]


def test_nothing_is_imported_to_compare(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    import torch
    from sklearn.linear_model import Ridge

    for number in (1, 2):
        parts = {"net": torch.nn.Linear(number, 20), "ridge": Ridge(alpha=number)}
        saver.dump(parts, tmp_path / f"{number}.saver")
    code = """
import sys
from saver.compare import compare
from saver.opening import open_file
found = compare(open_file(sys.argv[1]), open_file(sys.argv[2]))
assert {part.status for part in found.parts} == {"changed"}, found
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "sklearn", "scipy", "rich"}))
"""
    paths = [str(tmp_path / f"{number}.saver") for number in (1, 2)]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_an_ordered_dict_with_attributes_has_the_paths_of_its_items(told: Compare) -> None:
    def made(value: int) -> Any:
        found = OrderedDict({"0.weight": np.full(100, value), "0.bias": np.zeros(100)})
        found._metadata = {"version": value}  # type: ignore[attr-defined]
        return {"net": found}

    found = told(made(1), made(2))
    assert list(arrays(found)) == ["net/0.weight"]
    assert fields(found) == {"net/_metadata.version": ("1", "2")}


def test_a_training_log_is_compared_by_its_metrics_wherever_they_are_kept(told: Compare) -> None:
    """Short columns stand in the manifest, long ones are tensors."""

    def made(steps: int, scale: float = 1.0) -> TrainingLog:
        log = TrainingLog()
        for step in range(steps):
            some = {"val_loss": scale * step} if step % 3 == 1 else {}
            log.append(step, time=0.0, loss=scale, **some)
        log.mark("saved", steps, f"run@{steps}", time=0.0)
        return log

    assert not told({"log": made(5)}, {"log": made(5)})
    found = told({"log": made(5)}, {"log": made(200)})
    assert fields(found)["log/events.step"] == ("[5]", "[200]")
    assert {"log/step", "log/time", "log/loss", "log/val_loss"} <= arrays(found).keys()
    loss = arrays(found)["log/loss"]
    assert (loss.old, loss.new) == (ArrayInfo("F64", (5,), "[1, 1, 1, 1, 1]"), ArrayInfo("F64", (200,)))
    assert loss.amount is not None
    assert (loss.amount.entries, loss.amount.changed) == (5, 0)
    for steps in (5, 200, 5000):
        found = told({"log": made(steps)}, {"log": made(steps, 2.0)})
        assert list(arrays(found)) == ["log/loss", "log/val_loss"]
        assert fields(found) == {}
    for steps in (200, 3000, 4999):  # however it is cut, it is one column
        found = told({"log": made(steps)}, {"log": made(5000, 2.0)})
        loss = arrays(found)["log/loss"]
        assert (loss.old, loss.new) == (ArrayInfo("F64", (steps,)), ArrayInfo("F64", (5000,)))
        assert loss.amount is not None
        assert (loss.amount.entries, loss.amount.changed) == (steps, steps)
    assert not told({"log": made(5000)}, {"log": made(5000)})


@pytest.mark.parametrize(
    "kind", ["RandomForestRegressor", "ExtraTreesClassifier", "BaggingRegressor", "GradientBoostingRegressor"]
)
def test_tensors_of_a_forest_have_the_names_and_the_number_that_show_gives(tmp_path: Path, kind: str) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    store = saver.Saver(tmp_path / "models")
    rows = np.random.default_rng(0).random((60, 4))
    for seed in (1, 2):
        drawn = {"subsample": 0.5} if kind == "GradientBoostingRegressor" else {}
        made = getattr(ensemble, kind)(n_estimators=15, random_state=seed, **drawn)
        store.save("forest", {"model": made.fit(rows, rows[:, 0] > 0.5)})
    found = store.diff("forest@1", "forest@2")
    described = [store.describe(f"forest@{number}").parts[0] for number in (1, 2)]
    names = {entry.name for part in described for entry in part.tensors}
    batched = {change.path for change in found.arrays if "/sklearn." in change.path}
    assert len(batched) > 3
    assert batched <= names
    if kind in ("RandomForestRegressor", "ExtraTreesClassifier"):  # others hold more than their trees
        assert len(batched) + found.unchanged == len(names)
        assert f"{len(batched)} of {len(names)} tensors" in found.summary()


def test_arrays_that_another_library_holds_now_differ_in_that_alone(told: Compare) -> None:
    """What only the new library records, such as gradients and devices, says nothing more."""
    torch = pytest.importorskip("torch")
    for count in (1, 5):
        weights = {f"w{at}": np.arange(100.0) + at for at in range(count)}
        found = told({"net": weights}, {"net": {name: torch.tensor(each) for name, each in weights.items()}})
        assert not found.arrays
        assert {(field.old, field.new) for field in found.fields} == {("numpy.array", "torch.Tensor")}
        assert [field.path for field in found.fields] == (["net/w0"] if count == 1 else ["net (5 arrays)"])


def test_an_environment_that_was_not_recorded_is_one_row(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file({"w": np.zeros(100)}, tmp_path / "a.safetensors")
    saver.dump({"w": np.zeros(100)}, tmp_path / "b.saver")
    found = saver.diff(str(tmp_path / "a.safetensors"), str(tmp_path / "b.saver"))
    assert [(field.path, field.old, field.new) for field in found.environment] == [("recorded", "no", "yes")]
