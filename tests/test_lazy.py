"""`lazy=True`: what is read when, and what comes back."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

import saver
from equality import assert_same
from forging import forged
from saver.codec import Codec, Decoder, needed
from saver.errors import SaverError
from saver.lazy import LazyMapping, LazySequence
from saver.opened import Opened
from saver.opening import open_file
from saver.pack import PackedTensors
from saver.repo.manifest import Part
from saver.storages.memory import MemoryStorage
from saver.testing import CountingStorage
from saver.testing.codecs import change
from saver.tree import Node, Reference, to_json


def array(first: float = 0, count: int = 300) -> Any:
    return np.arange(first, first + count)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tensors that were read, in order."""
    found: list[str] = []
    honest = PackedTensors._verified

    def watch(source: PackedTensors, wanted: Any, progress: Any) -> Any:
        found.extend(wanted)
        return honest(source, wanted, progress)

    monkeypatch.setattr(PackedTensors, "_verified", watch)
    return found


def whole(value: Any) -> Any:
    """A lazy container with all that it holds, as `load` gives it without `lazy`."""
    if isinstance(value, LazyMapping):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, LazySequence) else value


CASES: dict[str, Any] = {
    "dicts of arrays": {"a": {"x": array(), "y": {"z": array(5)}}, "b": array(9)},
    "lists of arrays": {"a": [array(), [array(1), 2, "three"]], "b": [1, 2]},
    "keys that are numbers": {"a": {0: array(), 1.5: array(1), None: 3, True: 4}},
    "keys that are objects": {"a": {(1, 2): array()}},
    "tuples": {"a": (array(), [array(1)])},
    "one array": array(),
    "one list": [array(), {"x": array(1)}],
    "many keys": {f"layer.{number}": array(number) for number in range(70)},
    "long lists of scalars": {"a": list(range(1000)), "b": [0.5] * 1000},
    "nothing to read": {"a": {"x": [1, {"y": None}]}, "b": []},
    "empty": {},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("again", [False, True])
def test_all_of_it_read_is_what_load_gives(case: str, again: bool, tmp_path: Path) -> None:
    saver.dump(CASES[case], tmp_path / "s")
    found = saver.load(tmp_path / "s", lazy=True)
    if again:
        whole(found)
    assert_same(whole(found), saver.load(tmp_path / "s"))


def test_each_array_is_read_when_it_is_requested(tmp_path: Path, read: list[str]) -> None:
    saver.dump(
        {"net": {"w": array(), "deep": [array(1), {"b": array(2)}]}, "other": array(3)}, tmp_path / "s"
    )
    found = saver.load(tmp_path / "s", lazy=True)
    assert "w" in found["net"]
    assert len(found["net"]["deep"]) == 2
    assert list(found["net"]) == ["w", "deep"]
    assert (repr(found), repr(found["net"])) == ("<LazyParts: 'net', 'other'>", "<LazyMapping: 'w', 'deep'>")
    assert read == [], "so far only what is there was asked"
    for _ in range(2):
        np.testing.assert_array_equal(found["net"]["deep"][-1]["b"], array(2))
        assert read == ["net/deep.1.b"]
    np.testing.assert_array_equal(found["net"]["w"], array())
    assert read == ["net/deep.1.b", "net/w"]


def test_a_sole_object_is_lazy_too(tmp_path: Path, read: list[str]) -> None:
    saver.dump(OrderedDict(a=array(), b=array(1)), tmp_path / "s")
    found = saver.load(tmp_path / "s", lazy=True)
    assert isinstance(found, Mapping)
    assert read == []
    np.testing.assert_array_equal(found["b"], array(1))
    assert read == ["model/b"]


def test_of_chosen_parts_no_other_can_be_had(tmp_path: Path) -> None:
    saver.dump({"a": [array()], "b": array(1)}, tmp_path / "s")
    found = saver.load(tmp_path / "s", parts=["a"], lazy=True)
    assert list(found) == ["a"]
    with pytest.raises(KeyError):
        found["b"]


def test_what_was_shared_is_shared(tmp_path: Path) -> None:
    shared, inner = [array()], {"x": array(1)}
    saver.dump({"a": [shared, inner], "b": (shared, inner, inner), "c": {"again": shared}}, tmp_path / "s")
    found = saver.load(tmp_path / "s", lazy=True)
    assert found["a"][0] is found["c"]["again"]
    assert found["b"][1] is found["b"][2], "within what is built whole"
    assert_same(found["b"][0], whole(found["a"][0]))


def test_a_cycle_can_be_walked(tmp_path: Path) -> None:
    loop: list[Any] = [array()]
    loop.append({"loop": loop})
    saver.dump({"a": loop}, tmp_path / "s")
    found = saver.load(tmp_path / "s", lazy=True)["a"]
    assert found[1]["loop"] is found


def test_lists_are_equal_to_lists_and_cannot_be_changed(tmp_path: Path) -> None:
    text = "x" * 1000
    saver.dump({"a": [[1, 2], [text, 3]]}, tmp_path / "s")
    found = saver.load(tmp_path / "s", lazy=True)["a"]
    assert isinstance(found[1], LazySequence)
    assert found == [[1, 2], [text, 3]]
    assert found != [[1, 2]]
    assert found[:1] == [[1, 2]]
    for changing in (lambda: found.__setitem__(0, 1), lambda: found.append(1)):
        with pytest.raises(AttributeError):
            changing()
    with pytest.raises(IndexError):
        found[2]


def damage(path: Path, name: str) -> None:
    """Change a byte of a tensor."""
    ((_, at, _),) = open_file(path).tensors.info(name).shards[0].extents
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def test_damage_in_one_array_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "s"
    saver.dump({"net": {"good": array(), "bad": array(1)}}, path)
    damage(path, "net/bad")
    found = saver.load(path, lazy=True)["net"]
    for _ in range(2):
        with pytest.raises(saver.DamagedError, match="net/bad"):
            found["bad"]
        np.testing.assert_array_equal(found["good"], array())


def test_what_holds_damage_is_never_seen_in_part(tmp_path: Path) -> None:
    """A tuple is built whole. What was begun of it when a tensor turned out to be damaged must not come back
    by another reference."""
    path = tmp_path / "s"
    begun: list[Any] = [1]
    begun += [{"begun": begun}, array()]
    saver.dump({"a": (begun,), "b": (begun[1],)}, path)
    damage(path, "a/0.2")
    found = saver.load(path, lazy=True)
    for _ in range(2):
        for part in ("a", "b"):
            with pytest.raises(saver.DamagedError, match=r"a/0\.2"):
                found[part]


class Checked(Codec):
    """Whatever stands in its state; sound once all was built, and only if that is `true`."""

    name = "checked"

    def encode(self, obj: Any, encoder: Any) -> Any:
        raise NotImplementedError

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return [node.state]

    def check(self, obj: Any) -> None:
        if obj != [True]:
            raise ValueError("not sound")


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = needed.codec_named
    monkeypatch.setattr(needed, "codec_named", lambda name: Checked() if name == "checked" else honest(name))


@pytest.mark.usefixtures("checked")
def test_a_check_that_failed_fails_each_time_and_others_still_run() -> None:
    first, second = Node("checked", id="a", state=False), Node("checked", id="b", state=False)
    sound = Node("checked", id="c", state=True)
    broken = Node("list", state=[Node("list", state=[Reference("missing")])])
    walk = Decoder([first, second, sound, broken, broken.state[0]], {}, None)  # type: ignore[arg-type]
    wanted: list[Any] = [first, broken, Reference("a"), second, Reference("b")]
    for value in [*wanted, *wanted]:
        with pytest.raises(SaverError):
            walk.attempt(value)
    assert walk.attempt(sound) is walk.attempt(Reference("c"))


def test_nested_containers_are_looked_through_once(tmp_path: Path) -> None:
    """Whoever walks down a deep tree does not pay for all that is below at each step."""
    value: Any = [array()]
    for _ in range(100):
        value = [list(range(10)), value]
    saver.dump({"a": value}, tmp_path / "s")
    found = saver.load(tmp_path / "s", lazy=True)
    at = found["a"]
    seen = len(found._building._holding._seen)
    while len(at) == 2:
        at = at[1]
    assert len(found._building._holding._seen) == seen
    np.testing.assert_array_equal(at[0], array())


def test_a_version_of_a_store_is_as_lazy(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "store")
    store.save("m", {"net": {"w": array(), "b": array(1)}})
    found = store.load("m", lazy=True)
    assert_same(whole(found), store.load("m"))


@pytest.mark.parametrize("case", CASES)
def test_a_changed_tree_gives_what_load_gives_or_a_saver_error(case: str, tmp_path: Path) -> None:
    saver.dump(CASES[case], tmp_path / "s")
    opened, draw = open_file(tmp_path / "s"), random.Random(case)
    for _ in range(200):
        parts = json.loads(to_json(opened.manifest.parts))
        change([part["tree"] for part in parts.values()], draw)
        forged_parts = msgspec.json.decode(msgspec.json.encode(parts), type=dict[str, Part])
        found: list[Any] = []
        for lazy in (False, True):
            try:
                manifest = replace(opened.manifest, parts=forged_parts)
                changed = Opened(manifest, opened.tensors, "changed", 0, "")
                found.append(whole(changed.load((), lazy=lazy)))
            except SaverError:
                found.append(None)
        if found[0] is not None:
            assert_same(found[1], found[0])


@pytest.mark.parametrize("keys", [["x", "x"], [1, True], [0, False], None], ids=str)
def test_a_mapping_that_load_refuses_is_refused(keys: list[Any] | None, tmp_path: Path) -> None:
    """Keys that are equal, and attributes where no ordered dict has them."""
    saver.dump([array()], tmp_path / "s")
    opened = open_file(tmp_path / "s")
    item = opened.trees["model"].root.state[0]  # type: ignore[union-attr]
    state = [keys, [item, item]] if keys else [{"x": item}, {}, "attributes"]
    changed = forged(opened, model=Node("dict", state=state))
    for lazy in (False, True):
        with pytest.raises(saver.IncompatibleError, match="the state of a 'dict' is not understood"):
            whole(changed.load((), lazy=lazy))


def test_a_pack_is_opened_once_for_all_lazy_reads() -> None:
    counting = CountingStorage(MemoryStorage())
    store = saver.Saver(counting)
    saved = {str(at): array(at) for at in range(100)}
    store.save("m", {"a": saved})
    counting.begin_anew()
    found = store.load("m", lazy=True)["a"]
    for name, item in saved.items():
        np.testing.assert_array_equal(found[name], item)
    assert counting.calls["open"] == 1
