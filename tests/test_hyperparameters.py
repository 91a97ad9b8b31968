"""The plain fields of a file, as `saver show` tells them."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import saver
from saver.cli import program
from saver.description import PartInfo
from saver.hyperparameters import HYPERPARAMETERS_LIMIT, hyperparameters
from saver.tree import Node


def told(obj: Any, folder: Any) -> dict[str, str]:
    """What `describe` tells of the only part of a file that holds `obj`."""
    saver.dump([obj] if type(obj) is dict else obj, folder / "a.saver")
    (part,) = saver.describe(folder / "a.saver").parts
    return part.values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"), (True, "True"), (None, "None"), (0.1, "0.1"), ("a'b", '"a\'b"'),
        (nan, "nan"), (-inf, "-inf"), ((64,), "(64,)"), ([1, (2.5, "x")], "[1, (2.5, 'x')]"),
        ((), "()"), (np.float32(1.5), "1.5"), (np.log1p, "numpy.log1p"), (np.zeros((2, 3)), "F64[2, 3]"),
        (np.asfortranarray(np.zeros((2, 3), np.int8)), "I8[2, 3]"),
    ],
)  # fmt: skip
def test_a_part_that_is_one_plain_value_is_shown_as_python_writes_it(tmp_path, value, text):
    assert told(value, tmp_path) == {"value": text}


def test_settings_are_shown_by_path(tmp_path):
    settings = {"rate": 0.1, "layers": [{"units": 64}, {"units": 10}], "data": np.zeros(10_000)}
    assert told(settings, tmp_path) == {
        "[0].rate": "0.1",
        "[0].layers[0].units": "64",
        "[0].layers[1].units": "10",
    }


def test_long_values_and_private_ones_are_left_out(tmp_path):
    settings = {"text": "x" * 100, "list": list(range(60)), "_private": 1, "short": 2}
    assert told(settings, tmp_path) == {"[0].short": "2"}


def test_hyperparameters_are_shown(tmp_path):
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    found = told(make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(C=2.0)), tmp_path)
    assert found["steps[0][1].func"] == "numpy.log1p"
    assert found["steps[1][1].C"] == "2.0"


def test_many_fields_are_cut(tmp_path):
    assert len(told({f"k{n}": {"v": n} for n in range(1000)}, tmp_path)) == HYPERPARAMETERS_LIMIT


def test_bytes_of_a_part_count_its_structure(tmp_path):
    saver.dump({"text": "x" * 300, "array": np.zeros(1000)}, tmp_path / "a.saver")
    text, array = saver.describe(tmp_path / "a.saver").parts
    assert 300 < text.bytes < 400
    assert 8000 < array.bytes < 8200


@pytest.mark.parametrize(
    "node",
    [
        Node("float", state=[1]),
        Node("float", state="zz"),
        Node("numpy.scalar", state=[{}, 1]),
        Node("numpy.scalar", state={"a": 1}),
        Node("numpy.array", state={"data": "", "shape": 3, "dtype": "<f8"}),
        Node("numpy.array", state={"data": "", "shape": [1], "dtype": {}}),
        Node("list", state={"a": 1}),
        Node("dict", state=[1, 2]),
        Node("function", cls=None, state=None),
    ],
)
def test_states_that_no_codec_writes_are_left_out(node):
    assert hyperparameters(node).values == {}
    assert hyperparameters(Node("dict", state={"a": node, "b": 1})).values == {"b": "1"}


def test_deep_nesting_neither_recurses_nor_takes_long():
    node = Node("list", state=[1])
    for _ in range(5000):
        node = Node("list", state=[node])
    assert hyperparameters(node).values == {}


def test_what_a_constructor_has_as_its_default_is_known(tmp_path):
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression

    saver.dump(LogisticRegression(C=2.0), tmp_path / "a.saver")
    (part,) = saver.describe(tmp_path / "a.saver").parts
    assert set(part.values) - set(part.defaults) == {"C"}
    assert {"tol", "max_iter"} < set(part.defaults)


@pytest.mark.parametrize(
    ("values", "defaults", "line"),
    [
        ({}, (), ""),
        ({"value": "3"}, (), "3"),
        ({"a": "1", "b": "2"}, (), "a=1, b=2"),
        ({"a": "1", "b": "2", "c": "3"}, (), "a=1, b=2 and 1 more"),
        ({"a": "1", "b": "2", "c": "3"}, ("a",), "b=2, c=3 and 1 at their defaults"),
        ({"a": "1", "b": "2", "c": "3", "d": "4"}, ("a",), "b=2, c=3 and 1 more and 1 at their defaults"),
        ({"a": "1"}, ("a",), "1 at their defaults"),
    ],
)
def test_a_line_of_fields_names_those_that_were_chosen_and_counts_the_others(values, defaults, line):
    part = PartInfo("a", "a.B", "", 0, (), (), values, defaults, 1, ())
    assert part.fields(2) == line


def test_notebooks_and_terminals_show_the_same_line(tmp_path):
    saver.dump([{"rate": 0.5}], tmp_path / "a.saver")
    found = saver.describe(tmp_path / "a.saver")
    line = found.parts[0].fields()
    assert line == "[0].rate=0.5"
    assert line in found._repr_html_()
    shown = CliRunner().invoke(program, ["show", str(tmp_path / "a.saver")], catch_exceptions=False)
    assert line in shown.output


@pytest.mark.parametrize("count", [1, 3, 4, 200])
def test_many_objects_of_one_class_are_summed_up(tmp_path, count):
    pytest.importorskip("sklearn")
    from sklearn.linear_model import Ridge

    found = told({"models": [Ridge(alpha=number) for number in range(count)]}, tmp_path)
    if count > 3:
        assert found == {"[0].models": f"{count} x sklearn.linear_model._ridge.Ridge"}
    else:
        assert {f"[0].models[{number}].alpha" for number in range(count)} < set(found)
