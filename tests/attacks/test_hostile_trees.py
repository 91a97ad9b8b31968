"""Trees that are valid JSON and mean harm: cycles, ids, sizes, depths, and gadgets."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from forge import File, forged, node, sealed

import saver
from saver.errors import IncompatibleError


def load(file: File, path: Path) -> Any:
    return saver.load(file.write(path / "bad.saver"))


REF = {"$ref": 1}

CYCLES = {
    "a tuple in itself": node("tuple", [REF], id=1),
    "a tuple in a tuple": node("tuple", [node("tuple", [REF])], id=1),
    "a frozenset in itself": node("frozenset", [REF], id=1),
    "a set of itself": node("set", [REF], id=1),
    "a key that is its dict": node("dict", [[REF], [1]], id=1),
    "a key that is a tuple of its dict": node("dict", [[node("tuple", [REF])], [1]], id=1),
    "a complex of itself": node("complex", [REF, 1.0], id=1),
    "a slice of itself": node("slice", [REF, None, None], id=1),
    "a range of itself": node("range", [REF, 1, 1], id=1),
    "a partial of itself": node("stdlib.partial", [REF, node("tuple", []), node("dict", {})], id=1),
    "a factory that is its dict": node("stdlib.defaultdict", [REF, {}], id=1),
    "a fraction of itself": node("stdlib.Fraction", [REF, 1], id=1),
    "a time zone of itself": node("stdlib.timezone", [REF], id=1),
    "a path of itself": node("stdlib.path", ["PosixPath", REF], id=1),
    "an array masked by itself": node(
        "numpy.masked", {"data": REF, "mask": None, "fill_value": None, "hard": False}, id=1
    ),
    "a scalar of itself": node("numpy.scalar", ["O", REF], id=1),
    "a generator of itself": node("numpy.Generator", REF, id=1),
    "a field of itself": node(
        "numpy.array",
        {
            "dtype": {"names": ["a"], "formats": ["O"], "offsets": [0], "itemsize": 8},
            "shape": [],
            "fields": [REF],
        },
        id=1,
    ),
}


@pytest.mark.parametrize("tree", CYCLES.values(), ids=CYCLES.keys())
def test_a_cycle_where_none_can_be_is_refused(tree: Any, file: File, tmp_path: Path, refused: Any) -> None:
    file.tree = tree
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)


def test_a_cycle_through_a_list_is_not_an_attack(file: File, tmp_path: Path) -> None:
    file.tree = node("list", [node("tuple", [REF])], id=1)
    found = load(file, tmp_path)
    assert found[0][0] is found


BROKEN = {
    "two nodes of one id": node("list", [node("list", [], id=1), node("list", [], id=1)]),
    "a reference to nothing": node("list", [{"$ref": 9}]),
    "a reference with more to it": node("list", [{"$ref": 1, "x": 1}]),
    "a reference into no part": node("list", [node("list", [], id=1), {"$ref": 1, "part": "other"}]),
    "a reference into a number": node("list", [node("list", [], id=1), {"$ref": 1, "part": 5}]),
    "a reference that is not a number": node("list", [{"$ref": "1"}]),
    "a reference that is true": node("list", [node("list", [], id=1), {"$ref": True}]),
    "a reference to a float": node("list", [node("list", [], id=1), {"$ref": 1.0}]),
    "a tensor that is not there": node("list", [{"$tensor": "model/none"}]),
    "a tensor where an object should be": node("list", [{"$tensor": 3}]),
    "an id that is not a number": node("list", [], id="1"),
    "a version of the future": node("list", [], v=99),
    "version nothing": node("list", [], v=0),
    "a version that is true": node("list", [], v=True),
    "a field that no node has": node("list", [], call="os:system"),
    "a reserved key": node("dict", {"$call": 1}),
    "a list where an object should be": node("list", [[1]]),
    "an object where an object should be": node("list", [{"a": 1}]),
    "a bare list": [1],
    "a bare object": {"a": 1},
    "unhashable keys": node("dict", [[node("list", [])], [1]]),
    "unhashable elements": node("set", [node("dict", {})]),
    "a key twice": node("dict", [[1, 1], [2, 3]]),
    "keys that are equal": node("dict", [[1, True], [2, 3]]),
    "an element twice": node("set", [1, 1]),
    "fewer values than keys": node("dict", [[1, 2], [3]]),
    "an int that is not a number": node("int", "x"),
    "an int that is negative twice": node("int", "--1"),
    "a float of three bytes": node("float", "ffffff"),
    "an unknown singleton": node("singleton", "Exit"),
    "invalid base64": node("bytes", "****"),
    "a step of zero": node("range", [0, 1, 0]),
    "a fraction of zero": node("stdlib.Fraction", [1, 0]),
    "a month of thirteen": node("stdlib.date", "2020-13-01"),
    "a zone outside the folder": node("stdlib.ZoneInfo", "../../etc/passwd"),
    "a path of bytes": node("stdlib.path", ["PosixPath", node("bytes", "")]),
    "a path of a class": node("stdlib.path", ["__class__", "a"]),
    "a batch that is not there": node("numpy.array", ["model/numpy.array", 0]),
}


@pytest.mark.parametrize("tree", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_tree_is_an_error_of_saver(tree: Any, file: File, tmp_path: Path, refused: Any) -> None:
    file.tree = tree
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)


ENDLESS = node("range", [0, 10**15, 1])
LARGE = 10**12


def array(shape: Any, dtype: Any = "<f8", **more: Any) -> Any:
    return node("numpy.array", {"dtype": dtype, "shape": shape, **(more or {"data": ""})})


def structure(itemsize: Any, offset: Any = 0, form: Any = "O") -> Any:
    return {"names": ["a"], "formats": [form], "offsets": [offset], "itemsize": itemsize}


EMPTY_OBJECTS = array([0], "|O", items=[])

HUGE = {
    "an axis": array([LARGE]),
    "a product of axes": array([2**31, 2**31, 2**31]),
    "an axis beyond 64 bits": array([2**64]),
    "an axis below zero": array([-1]),
    "an axis that is a float": array([1e12]),
    "an axis that is true": array([True]),
    "many axes": array([1] * 100),
    "objects": array([LARGE], "|O", items=[]),
    "objects in a column": array([LARGE], "|O", items={"float": {"$tensor": "model"}}),
    "elements without bytes": array([LARGE], "|V0"),
    "strings without characters": array([2**40], "<U0"),
    "one element": array([], "|V2147483647"),
    "an element beyond 32 bits": array([], "|V99999999999"),
    "padding": array([1], structure(2**31 - 1), fields=[array([1], "|O", items=[None])]),
    "padding, many times": array(
        [1000], structure(2**31 - 1), fields=[array([1000], "|O", items=[None] * 1000)]
    ),
    "a structure without fields": array(
        [1000], {"names": [], "formats": [], "offsets": [], "itemsize": 2**31 - 1}, fields=[]
    ),
    "a field far outside": array([1], structure(8, 2**31 - 1), fields=[EMPTY_OBJECTS]),
    "a field before the element": array([1], structure(16, -8), fields=[EMPTY_OBJECTS]),
    "a sub-array": array([], {"base": "<f8", "shape": [2**20, 2**20]}),
    "a scalar": node("numpy.scalar", ["|V2147483647", ""]),
    "a pool of seeds": node(
        "numpy.SeedSequence",
        {"entropy": 1, "spawn_key": node("tuple", []), "pool_size": LARGE, "n_children_spawned": 0},
    ),
    "seeds without end": node(
        "numpy.SeedSequence",
        {"entropy": ENDLESS, "spawn_key": ENDLESS, "pool_size": 4, "n_children_spawned": 0},
    ),
    "characters without end": node("stdlib.array", ["q", ENDLESS]),
    "arguments without end": node(
        "stdlib.partial", [node("function", cls="numpy:add"), ENDLESS, node("dict", {})]
    ),
    "a time zone without end": node("stdlib.timezone", [ENDLESS]),
    "a set without end": node("set", ENDLESS),
    "a deque without end": node("stdlib.deque", [None, ENDLESS]),
    "a deque of negative length": node("stdlib.deque", [-1, [1]]),
    "a random state without end": node("stdlib.Random", [3, ENDLESS, None]),
}


@pytest.mark.parametrize("tree", HUGE.values(), ids=HUGE.keys())
def test_a_declared_size_allocates_nothing_that_the_bytes_do_not_back(
    tree: Any, file: File, tmp_path: Path, refused: Any
) -> None:
    file.tree = tree
    path = file.write(tmp_path / "bad.saver")
    refused(path, saver.SaverError)
    tracemalloc.start()
    try:
        with pytest.raises(saver.SaverError):
            saver.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", ["int", "fraction", "seeds"])
def test_large_integers_cost_no_quadratic_time(what: str, file: File, tmp_path: Path) -> None:
    """A megabyte of digits: what takes quadratic time of it would run for hours."""
    digits = node("int", file.tensor("model/n", "U8", b"f" * (1 << 20)))
    odd = node("int", file.tensor("model/m", "U8", b"d" * (1 << 20)))
    if what == "int":
        file.tree = digits
        assert load(file, tmp_path).bit_length() == 4 << 20
        return
    seeds = {"entropy": digits, "spawn_key": node("tuple", []), "pool_size": 4, "n_children_spawned": 0}
    file.tree = (
        node("stdlib.Fraction", [digits, odd]) if what == "fraction" else node("numpy.SeedSequence", seeds)
    )
    with pytest.raises(saver.IncompatibleError):
        load(file, tmp_path)


@pytest.mark.parametrize("depth", [310, 450, 590, 900, 5_000, 100_000])
@pytest.mark.parametrize("shape", ["lists", "nodes", "states", "tuples", "wrong"])
def test_a_deep_tree_is_an_error_and_no_crash(
    shape: str, depth: int, file: File, tmp_path: Path, refused: Any
) -> None:
    start, end = {
        "lists": ("[", "]"),
        "nodes": ('{"$":"list","state":[', "]}"),
        "states": ('{"a":', "}"),
        "tuples": ('{"$":"tuple","state":[', "]}"),
        "wrong": ("[", "]"),
    }[shape]
    file.tree = node("list", no_such_field="DEEP") if shape == "wrong" else "DEEP"
    text = file.text().replace(
        b'\\"DEEP\\"', (start * depth + "1" + end * depth).replace('"', '\\"').encode()
    )
    path = tmp_path / "bad.saver"
    path.write_bytes(sealed(text) + file.data)
    refused(path, saver.IncompatibleError)


@pytest.mark.slow
def test_deep_references_are_an_error_and_no_crash(file: File, tmp_path: Path, refused: Any) -> None:
    """Each node is shallow; following the references from the first to the last is deep."""
    chain = [node("tuple", [{"$ref": number + 1}], id=number) for number in range(1, 5_000)]
    file.tree = node("list", [*chain, node("tuple", [], id=5_000)])
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)


def test_shared_references_are_built_once_however_often_they_are_named(file: File, tmp_path: Path) -> None:
    """Each level names the one below twice: 2**100 objects, if references were copies."""
    levels = [node("tuple", [], id=1)]
    levels += [node("tuple", [{"$ref": n}, {"$ref": n}], id=n + 1) for n in range(1, 100)]
    file.tree = node("list", levels)
    found = load(file, tmp_path)
    assert len(found) == 100
    assert found[99][0] is found[99][1] is found[98]


@pytest.mark.parametrize(
    "name", ["__array_interface__", "__array_struct__", "__array__", "__cuda_array_interface__"]
)
def test_an_attribute_cannot_be_a_pointer(name: str, file: File, tmp_path: Path, refused: Any) -> None:
    """NumPy believes an instance's `__array_interface__`, which names an address in memory."""
    pointer = node("dict", {"version": 3, "typestr": "|u1", "shape": node("tuple", [1 << 20]),
                            "data": node("tuple", [0, True])})  # fmt: skip
    file.tree = node("stdlib.SimpleNamespace", {name: pointer})
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)


def test_a_dict_may_have_the_keys_that_attributes_may_not(tmp_path: Path) -> None:
    value = {"a": {"__array_interface__": 1, "$ref": 2, "$": 3, "__version__": "1"}}
    saver.dump(value, tmp_path / "a.saver")
    assert saver.load(tmp_path / "a.saver") == value


def test_code_points_beyond_unicode_are_refused(file: File, tmp_path: Path, refused: Any) -> None:
    bad = file.tensor("model/u", "U32", (0x110000).to_bytes(4, "little"), [1, 1])
    file.tree = node("numpy.array", {"dtype": "<U1", "shape": [1], "data": bad})
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)


@pytest.mark.parametrize("ends", [[5], [1, 0, 3], [-1, 3], [2**62], []])
def test_a_column_of_strings_has_ends_that_fit(
    ends: list[int], file: File, tmp_path: Path, refused: Any
) -> None:
    words = file.tensor("model/s", "U8", b"abc")
    raw = b"".join(end.to_bytes(8, "little", signed=True) for end in ends)
    file.tree = node("list", {"str": words, "ends": file.tensor("model/e", "I64", raw)})
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)


@pytest.mark.parametrize("position", [-1, 625, 2**31, 2**63, 0.5, None, True])
def test_a_generator_does_not_read_beyond_its_buffer(position: Any, tmp_path: Path, refused: Any) -> None:
    import numpy as np

    file = forged(tmp_path, np.random.Generator(np.random.MT19937(1)))
    bits = file.tree["state"]
    bits["state"][1]["state"]["state"]["state"]["pos"] = position
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)


@pytest.mark.slow
def test_hostile_sizes_load_nothing_in_a_process_of_little_memory(tmp_path: Path) -> None:
    """The same, with a limit that the operating system holds."""
    paths = []
    for number, tree in enumerate(HUGE.values()):
        file = forged(tmp_path, [1])
        file.tree = tree
        paths.append(str(file.write(tmp_path / f"{number}.saver")))
    program = """
import resource, sys, saver, saver.families.numpy.codecs, saver.families.python.codecs
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    try:
        saver.load(path)
    except saver.SaverError:
        continue
    sys.exit(path)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Hashed:
    """Its hash before its attributes are there is that of these."""

    name: str = ""
    holder: Any = field(default=None, hash=False)


LATE = {
    "2.22": node("frozenset", [REF]),
    "3.09": node("dict", [[REF, REF], [1, 2]]),
    "3.08": node("dict", [[REF, REF], [1]]),
}


@pytest.mark.parametrize("rule", LATE)
def test_keys_that_are_hashed_late_keep_to_the_rules(rule: str, file: File, tmp_path: Path) -> None:
    file.tree = node("dataclass", {"holder": LATE[rule], "name": "a"}, cls=f"{__name__}:Hashed", id=1)
    with pytest.raises(IncompatibleError) as caught:
        saver.load(file.write(tmp_path / "a.saver"), trust=[f"{__name__}.*"])
    assert caught.value.rule == rule
