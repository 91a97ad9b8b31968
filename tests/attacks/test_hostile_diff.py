"""What is compared may come from an enemy: all that differs is named, and nothing runs, hangs or crashes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forge import File, forged, node, places
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES
from test_fuzz import change, slow

import saver
from saver.compare import Difference, compare
from saver.opening import open_file

pytestmark = pytest.mark.filterwarnings("ignore")  # samples and hostile numbers make others warn


def fresh(name: str) -> File:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return forged(Path(folder), SAMPLES[name]())


sample = cache(fresh)


def diff(old: File, new: File, folder: Path) -> Difference:
    return compare(open_file(old.write(folder / "old.saver")), open_file(new.write(folder / "new.saver")))


@pytest.mark.parametrize("name", SAMPLES)
def test_what_was_loaded_and_saved_again_does_not_differ(name: str, tmp_path: Path) -> None:
    fresh(name).write(tmp_path / "old.saver")  # other tests may have imported something meanwhile
    saver.dump(saver.load(tmp_path / "old.saver"), tmp_path / "new.saver")
    found = compare(open_file(tmp_path / "old.saver"), open_file(tmp_path / "new.saver"))
    assert not found, str(found)


def changed(value: Any) -> Any:
    """Another value of the same kind: the least change that there is."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if value is None:
        return 7
    last = "b" if value[-1:] != "b" else "c"
    return ("A" if value[0] != "A" else "B") + value[1:] if value.endswith("=") else value[:-1] + last


def scalars(file: File) -> Iterator[tuple[Any, Any]]:
    for part in file.manifest["parts"].values():
        for container, key in places([part["tree"], part.get("batches", {})]):
            if key not in ("$ref", "id", "part") and not isinstance(container[key], (dict, list)):
                yield container, key


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_every_value_that_changes_in_a_tree_is_reported(name: str, tmp_path: Path) -> None:
    """Also when the part declares the hash that it had before."""
    old = sample(name)
    original = open_file(old.write(tmp_path / "old.saver"))
    count = sum(1 for _ in scalars(old))
    for index in range(0, count, max(1, count // 60)):
        new = old.copy()
        container, key = list(scalars(new))[index]
        before = container[key]
        container[key] = changed(before)
        try:
            found = compare(original, open_file(new.write(tmp_path / "new.saver")))
        except saver.SaverError:
            continue
        assert found, (key, before)
        assert any(part.status == "changed" for part in found.parts)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_tensor_that_changes_is_reported(name: str, tmp_path: Path) -> None:
    old = sample(name)
    original = open_file(old.write(tmp_path / "old.saver"))
    for tensor, slot in old.tensors.items():
        begin, end = slot["data_offsets"]
        if begin == end:
            continue
        new = old.copy()
        raw = bytearray(new.data)
        raw[(begin + end) // 2] ^= 1
        new.data = bytes(raw)
        new.rehash()
        assert compare(original, open_file(new.write(tmp_path / "new.saver"))).arrays, tensor


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
@settings(slow, max_examples=150)
@given(data=st.data())
def test_a_changed_file_is_compared_or_refused(name: str, data: st.DataObject, tmp_path_factory: Any) -> None:
    old, new = sample(name), sample(name).copy()
    for _ in range(data.draw(st.integers(1, 3))):
        change(data, new.manifest if data.draw(st.booleans()) else new.manifest["parts"])
        if not isinstance(new.manifest.get("parts"), dict):
            return
    try:
        found = diff(old, new, tmp_path_factory.getbasetemp())
    except saver.SaverError:
        return
    json.dumps(found, default=_fields, allow_nan=False)
    assert str(found).replace("\n", "").isprintable()


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


EVIL = "\x1b]0;owned\x07\u202e"


def test_nothing_that_is_shown_can_steer_a_terminal(tmp_path: Path) -> None:
    texts = (EVIL, f"{EVIL}{EVIL}")
    files = [
        forged(tmp_path, {"text": [{text: text, EVIL: text}, np.array([text] * 2), text * 50], "number": 1})
        for text in texts
    ]
    for file, text in zip(files, texts, strict=True):
        file.manifest.update(
            environment={"packages": {EVIL: text}, text: [text]},
            metrics={EVIL: text, text: 1.5},
            notes=text,
            data={EVIL: {"kind": text, "hash": text}, text: text},
        )
        file.manifest.pop("order", None)
        file.manifest["parts"][text] = {"tree": node(text, {text: text}), "hash": text}
        file.manifest["parts"]["number"] = {"tree": node(text, {EVIL: text}, f"{text}:{text}"), "hash": text}
    found = str(diff(*files, tmp_path))
    assert "owned" in found
    assert found.replace("\n", "").isprintable()


# Trees that ask for more work than their size warrants

COUNT = 20_000


def ref(number: int) -> dict[str, int]:
    return {"$ref": number}


def rings(length: int) -> Any:
    """A ring of lists, each of which holds the next."""
    links = [node("list", [ref((n + 1) % length + 1), None], id=n + 1) for n in range(length)]
    return node("list", links)


def many_for_one(large: Any) -> tuple[Any, Any]:
    """As many references to one large thing as there are small things of its kind on the other side."""
    small = [node(large["$"], large["state"][:1]) for _ in range(COUNT)]
    return node("list", [node("list", []), *small]), node("list", [large, *[ref(1)] * COUNT])


def group(parameters: int) -> Any:
    return node("dict", {"params": node("list", [node("list", [n]) for n in range(parameters)])}, id=1)


def optimizers(first: Any, count: int) -> Any:
    state = {"param_groups": node("list", [ref(1)]), "state": [[1, 2]]}
    made = [node("torch.Optimizer", state, "torch.optim.sgd:SGD") for _ in range(count)]
    return node("list", [first, *made])


def arrays(count: int, data: str) -> list[Any]:
    state = {"dtype": "|u1", "shape": [len(data) * 3 // 4], "data": data}
    return [node("numpy.array", state, id=1), *[ref(1)] * count]


def texts(count: int, data: str) -> list[Any]:
    return [node("str", data, id=1), *[ref(1)] * count]


def chain(value: int) -> Any:
    links = [node("list", [ref(n + 1), value], id=n) for n in range(1, COUNT)]
    return node("list", [*links, node("list", [], id=COUNT)])


def deep(value: int) -> Any:
    found = node("dict", {f"a{n}": n + value for n in range(COUNT)})
    for _ in range(200):
        found = node("dict", {"k" * 90: found})
    return found


TUPLES = node("tuple", [node("tuple", [node("tuple", [1] * 20)] * 20)] * 20, id=1)
LARGE = "AAAA" * 1_000_000

EXPENSIVE: dict[str, Callable[[], tuple[Any, Any]]] = {
    "rings of other lengths": lambda: (rings(COUNT), rings(COUNT - 1)),
    "a large list, often": lambda: many_for_one(node("list", list(range(COUNT)), id=1)),
    "a large tuple of tuples, often": lambda: many_for_one(TUPLES),
    "a large array, often": lambda: (
        node("list", [arrays(0, "AAAA")[0] | {"id": n + 1} for n in range(COUNT)]),
        node("list", arrays(COUNT - 1, LARGE)),
    ),
    "a large text, often": lambda: (
        node("list", [node("str", "AAAA") for _ in range(COUNT)]),
        node("list", texts(COUNT - 1, LARGE)),
    ),
    "a large text in both, often": lambda: (
        node("list", texts(COUNT - 1, LARGE)),
        node("list", texts(COUNT - 1, f"{LARGE[:-1]}B")),
    ),
    "a large text as many keys": lambda: (
        node("list", [1, node("dict", [[node("str", "AAAA")] * COUNT, [1] * COUNT])]),
        node("list", [texts(0, LARGE)[0], node("dict", [[ref(1)] * COUNT, [1] * COUNT])]),
    ),
    "one group in many optimizers": lambda: (
        optimizers(group(COUNT), COUNT),
        optimizers(group(COUNT - 1), COUNT),
    ),
    "keys that begin alike": lambda: tuple(
        node("list", [node("dict", {f"{'k' * 200}{n}": n + more for n in range(COUNT)})]) for more in (0, 1)
    ),
    "a key many times": lambda: tuple(
        node("list", [node("dict", [["k"] * COUNT, [more] * COUNT])]) for more in (0, 1)
    ),
    "a chain of references": lambda: (chain(1), chain(2)),
    "long keys, deep": lambda: (deep(1), deep(2)),
}

PROGRAM = """
import sys
from saver.compare import compare
from saver.opening import open_file
print(bool(compare(open_file(sys.argv[1]), open_file(sys.argv[2]))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPENSIVE)
def test_time_is_linear_in_the_size_of_the_trees(name: str, file: File, tmp_path: Path) -> None:
    """What takes a second or two would take hours, were each named thing walked every time it is named."""
    paths = []
    for number, tree in enumerate(EXPENSIVE[name]()):
        new = file.copy()
        new.tree = tree
        paths.append(str(new.write(tmp_path / f"{number}.saver")))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "True\n", done.stderr


@pytest.mark.slow
def test_one_tensor_under_many_names_is_read_a_few_times_only(file: File, tmp_path: Path) -> None:
    """Sixteen gigabytes to compare, in files of one megabyte."""
    paths = []
    for number in (0, 1):
        new = file.copy()
        base = node("torch.Tensor", {"data": new.tensor("model/w", "U8", bytes([number]) * (1 << 20))}, id=1)
        view = {"base": ref(1), "dtype": "uint8", "shape": [800_000], "stride": [1]}
        views = [node("torch.Tensor", view | {"offset": n}) for n in range(COUNT)]
        new.tree = node("list", [base, *views])
        paths.append(str(new.write(tmp_path / f"{number}.saver")))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "True\n", done.stderr


VIEW = {"dtype": "int8", "offset": 0, "shape": [], "stride": []}
BYTE = node("torch.Tensor", {"dtype": "int8", "data": "00"})

BROKEN = {
    "a tensor that is not there": node("list", [{"$tensor": "model/none"}]),
    "a reference to nothing": node("list", [ref(9)]),
    "a tensor of other size": node("numpy.array", {"dtype": "<f8", "shape": [10**12], "data": "AAAA"}),
    "an array of empty elements": node("numpy.array", {"dtype": "|V0", "shape": [10**12], "data": ""}),
    "an array without rows": node("numpy.array", {"dtype": "<f8", "shape": [10**12, 0], "data": ""}),
    "a view of itself": node("torch.Tensor", VIEW | {"base": ref(1)}, id=1),
    "a view before its base": node("torch.Tensor", VIEW | {"base": BYTE, "offset": -5}),
    "a module of lists": node("torch.Module", {"attributes": [], "modules": [1], "parameters": None}),
    "an optimizer of nothing": node("torch.Optimizer", {"param_groups": 5, "state": [1, [2], [3, 4, 5]]}),
    "a dict of unequal runs": node("dict", [[1, 2], [3]]),
    "a default dict of nothing": node("stdlib.defaultdict", []),
    "a column of nothing": node("list", {"str": 1, "ends": 2}),
    "an invalid float": node("float", [1]),
    "an invalid integer": node("int", "zz"),
    "invalid text": node("str", "****"),
    "an invalid scalar": node("numpy.scalar", ["<f8", "****"]),
    "an unknown codec": node("nobody.knows", {"a": [1, {"b": node("list", [2])}]}),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_interpreted_is_compared_as_it_stands(name: str, file: File, tmp_path: Path) -> None:
    new = file.copy()
    new.tree = BROKEN[name]
    assert not diff(new, new, tmp_path)
    assert diff(file, new, tmp_path)
    assert diff(new, file, tmp_path)
