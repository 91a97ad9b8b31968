"""JSON holds everything of a small model, so that people can read it and Saver reads the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import ARRAYS, OTHERS
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exporting import fitted

import saver
from equality import assert_same
from saver.errors import IncompatibleError, SaverError
from saver.storages.memory import MemoryStorage

NANS = {
    "f8": np.array([0x7FF8000000000001, 0xFFF0000000000001, 0x7FF8000000000000], "u8").view("f8"),
    "f4": np.array([0x7FC00001, 0xFFC00000], "u4").view("f4"),
    "f2": np.array([0x7E01, 0xFC01], "u2").view("f2"),
}


def there_and_back(value: Any, folder: Path) -> Any:
    saver.dump(value, folder / "a.saver")
    assert saver.export(folder / "a.saver", folder / "a.json").losses == ()
    json.loads((folder / "a.json").read_text(), parse_constant=pytest.fail)
    return saver.load(folder / "a.json")


@pytest.mark.parametrize(
    "value",
    [ARRAYS, OTHERS, NANS, [1, 2.5, None, "ü\n", {"$odd": np.nan}, 2**70, -0.0], {"a": (1,)}, np.ones(())],
    ids=range(6),
)  # fmt: skip
@pytest.mark.shows("JSON", "save", "load")
def test_it_goes_there_and_back(value: Any, tmp_path: Path) -> None:
    assert_same(there_and_back(value, tmp_path), value)


def test_a_pipeline_and_a_module_work_as_before(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model, x = fitted()
    net = torch.nn.Sequential(torch.nn.Linear(4, 30), torch.nn.BatchNorm1d(30).bfloat16())
    loaded = there_and_back({"model": model, "net": net}, tmp_path)
    assert np.array_equal(loaded["model"].predict_proba(x), model.predict_proba(x))
    for name, tensor in net.state_dict().items():
        assert torch.equal(loaded["net"].state_dict()[name], tensor)
    assert "LogisticRegression" in (tmp_path / "a.json").read_text()


def test_parts_keep_their_hashes(tmp_path: Path) -> None:
    store = saver.Saver(MemoryStorage())
    version = store.save("m", {"w": ARRAYS, "n": {"b": 1, "a": 2.0}})
    store.export("m", tmp_path / "m.json")
    again = store.import_(tmp_path / "m.json", "m")
    assert {name: part.hash for name, part in again.parts.items()} == {
        name: part.hash for name, part in version.parts.items()
    }


def test_numbers_are_short_and_equal_versions_make_equal_files(tmp_path: Path) -> None:
    saver.dump(np.full((2, 40), 0.1, np.float32), tmp_path / "a.saver")
    for name in ("a.json", "b.json"):
        saver.export(tmp_path / "a.saver", tmp_path / name)
    text = (tmp_path / "a.json").read_text()
    assert "0.1 0.1 0.1" in text
    assert text == (tmp_path / "b.json").read_text()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=80))
def test_every_bit_of_every_float_comes_back(
    tmp_path_factory: pytest.TempPathFactory, bits: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("json")
    found = np.array(bits + [0] * (80 - len(bits)), "u4")
    arrays = {"f4": found.view("f4"), "f8": found.view("f8"), "f2": found.view("f2")}
    assert_same(there_and_back(arrays, folder), arrays)


def test_what_is_large_is_not_written(tmp_path: Path) -> None:
    saver.dump(np.zeros(5_000_000), tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match="at most"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def document(**changes: Any) -> Any:
    tensor = {"dtype": "F32", "shape": [2], "data": [1, 2.5]}
    tree = {"$": "numpy.array", "state": {"$tensor": "x"}}
    parts = {"model": {"packages": ["numpy"], "tree": tree}}
    return {"saver.json": 1, "whole": False, "parts": parts, "tensors": {"x": {**tensor, **changes}}}


BAD: dict[str, Any] = {
    "of a newer form": {**document(), "saver.json": 2},
    "with another field": {**document(), "run": "me"},
    "without tensors": {**document(), "tensors": {}},
    "of a part with a path": {**document(), "whole": True, "parts": {"a/../b": document()["parts"]["model"]}},
    "with packages that are not there": {**document(), "environment": {"packages": None}},
    "with a version that is a number": {**document(), "environment": {"packages": {"numpy": 2}}},
    "with a number that JSON does not hold": {**document(), "parts": {"model": {"tree": 1 << 63}}},
    "with a part that nobody could name": {**document(), "parts": {}},
    **{
        f"with {name}": document(**changes)
        for name, changes in {
            "an unknown dtype": {"dtype": "F7"}, "a negative axis": {"shape": [-2]},
            "a huge shape": {"shape": [1 << 60]}, "a huge empty shape": {"shape": [1 << 60, 0], "data": []},
            "too few": {"data": [1]}, "too many": {"data": [1, 2, 3]}, "a word": {"data": [1, "two"]},
            "a null": {"data": [1, None]}, "too deep": {"data": [[1], [2]]}, "no list": {"data": 1},
            "a float among integers": {"dtype": "I8"},
            "too large an integer": {"dtype": "I8", "data": [1, 300]},
            "a negative byte": {"dtype": "U8", "data": [1, -1]},
            "huge bits": {"data": [1, "nan:" + "f" * 40]},
            "a boolean": {"data": [1, True]}, "numbers for flags": {"dtype": "BOOL", "data": [1, 0]},
            "a huge integer": {"data": [1, 10**400]}, "many axes": {"shape": [1] * 99},
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_document_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(BAD[name]))
    with pytest.raises(SaverError, match=r"a\.json") as caught:
        saver.load(tmp_path / "a.json")
    assert not isinstance(caught.value, saver.CannotSaveError)


def test_a_broken_text_is_refused(tmp_path: Path) -> None:
    good = json.dumps(document())
    (tmp_path / "a.json").write_text(good)
    assert saver.load(tmp_path / "a.json").tolist() == [1, 2.5]
    deep = good.replace("[1, 2.5]", "[" * 50_000 + "]" * 50_000)
    twice = good.replace('"whole": false', '"whole": false, "whole": true')
    for bad in (deep, twice, good.replace("2.5", "NaN"), *(good[:at] for at in range(20, len(good), 7))):
        (tmp_path / "a.json").write_text(bad)
        with pytest.raises(SaverError):
            saver.load(tmp_path / "a.json")
