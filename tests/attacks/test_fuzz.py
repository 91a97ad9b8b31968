"""Whatever stands in a file whose hashes match: it loads, or a SaverError says why not. Nothing else."""

from __future__ import annotations

import copy
import resource
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from forge import File, forged, places
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import SAMPLES

import saver

pytestmark = pytest.mark.filterwarnings("ignore")  # hostile numbers make NumPy and others warn

ROOM = 2 << 30
"""The address space that hostile files of some KB may take, in bytes; NumPy alone maps much."""


@pytest.fixture(autouse=True, scope="module")
def little_memory() -> Iterator[None]:
    """A declared size that the bytes do not back shows itself as a MemoryError."""
    for name in SAMPLES:  # imports their packages, which map more than the limit leaves
        with suppress(pytest.skip.Exception):
            sample(name)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@cache
def sample(name: str) -> File:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return forged(Path(folder), SAMPLES[name]())


numbers = st.one_of(
    st.integers(-3, 40),
    st.sampled_from(
        [2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 2**40]
    ),
    st.sampled_from([-0.0, 0.5, 1e308, 1e16]),
)
words = st.one_of(
    st.sampled_from([
        "", "$", "O", "f8", ">i4", "V0", "S0", "U5", "V1000000000", "M8[ns]", "m8", "a,b", "data", "0" * 64,
        "Ellipsis", "AAAA", "ff", "-1", "UTC", "../x", "PosixPath", "2020-01-01", "MT19937", "d", "w", "F",
        "numpy:float64", "builtins:list", "builtins:type", "numpy:load", "os:system", "numpy:add",
        "1E999999999",
        "__array_interface__", "__class__", "__dict__", "sNaN", "Infinity",
    ]),
    st.text(max_size=5),
)  # fmt: skip
codecs = st.sampled_from([
    "list", "tuple", "dict", "set", "frozenset", "int", "float", "str", "bytes", "range", "slice", "function",
    "class", "enum", "namedtuple", "dataclass", "object", "complex", "stdlib.deque", "stdlib.SimpleNamespace",
    "stdlib.partial", "stdlib.array", "numpy.array", "numpy.scalar", "numpy.dtype", "numpy.masked",
])  # fmt: skip
scalars = st.one_of(st.none(), st.booleans(), numbers, words)
small = st.recursive(
    st.one_of(scalars, st.builds(lambda i: {"$ref": i}, st.integers(-1, 5))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(words, inner, max_size=3),
        st.builds(lambda codec, state: {"$": codec, "state": state}, codecs, inner),
        st.builds(
            lambda codec, state, i: {"$": codec, "id": i, "state": state}, codecs, inner, st.integers(1, 5)
        ),
    ),
    max_leaves=6,
)


def change(data: st.DataObject, root: Any) -> None:
    """Replace, remove, double or move one thing somewhere in a JSON document."""
    spots = list(places(root))
    if not spots:
        return
    container, key = spots[data.draw(st.integers(0, len(spots) - 1), label="where")]
    what = data.draw(st.sampled_from(["scalar", "anything", "move", "drop", "grow", "number"]), label="what")
    if what == "drop":
        del container[key]
    elif what == "move":
        other, there = spots[data.draw(st.integers(0, len(spots) - 1), label="from")]
        container[key] = copy.deepcopy(other[there])
    elif what == "grow" and isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    elif what == "number":
        container[key] = data.draw(numbers)
    else:
        container[key] = data.draw(scalars if what == "scalar" else small)


def survives(path: Path) -> None:
    try:
        saver.load(path)
    except saver.SaverError:
        pass
    try:
        saver.describe(path)
    except saver.SaverError:
        pass


EXAMPLES = 150 if settings().derandomize else 400
"""The same ones every time need not be so many as those that nobody tried before (`make explore`)."""
slow = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
@slow
@given(data=st.data())
def test_a_changed_tree_loads_or_raises_a_saver_error(
    name: str, data: st.DataObject, tmp_path_factory: Any
) -> None:
    file = sample(name).copy()
    for _ in range(data.draw(st.integers(1, 3))):
        change(data, file.manifest["parts"])
    path = tmp_path_factory.getbasetemp() / "fuzzed.saver"
    survives(file.write(path))


@pytest.mark.slow
@slow
@given(data=st.data())
def test_a_changed_manifest_or_header_loads_or_raises_a_saver_error(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    file = sample(data.draw(st.sampled_from(["builtins", "stdlib", "numpy"]))).copy()
    tops = {"own": file.own, "manifest": file.manifest, "tensors": file.tensors, "metadata": file.metadata}
    shallow = {key: value for key, value in file.manifest.items() if key != "parts"}
    for _ in range(data.draw(st.integers(1, 2))):
        change(data, data.draw(st.sampled_from([tops, file.own, file.tensors, shallow])))
    file.own, file.metadata = tops.get("own", {}), tops.get("metadata", {})
    file.tensors, file.manifest = tops.get("tensors", {}), tops.get("manifest", {})
    if isinstance(file.manifest, dict):
        file.manifest.update(shallow)
    path = tmp_path_factory.getbasetemp() / "fuzzed.saver"
    if not isinstance(file.tensors, dict) or not isinstance(file.metadata, dict):
        return  # the header's own form is attacked in test_header.py
    survives(file.write(path))


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
@slow
@given(data=st.data())
def test_changed_tensors_with_true_hashes_load_or_raise_a_saver_error(
    name: str, data: st.DataObject, tmp_path_factory: Any
) -> None:
    file = sample(name).copy()
    if not file.data:
        return
    raw = bytearray(file.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        some = data.draw(st.binary(min_size=1, max_size=8))
        raw[at : at + len(some)] = some[: len(raw) - at]
    file.data = bytes(raw)
    file.rehash()
    path = tmp_path_factory.getbasetemp() / "fuzzed.saver"
    survives(file.write(path))
