"""Versions in the grid form whose hashes match, and of which anything else was changed: what is loaded is
what was saved, or an error says why nothing is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3

import saver
from saver.canonical import canonical
from saver.errors import DamagedError, IncompatibleError, SaverError
from saver.opened import open_version
from saver.repo import grid, stage
from saver.repo.manifest import manifest_key
from saver.repo.objects import tree_key
from saver.repo.save import save_version
from saver.repo.version import Version
from saver.storages.memory import MemoryStorage
from saver.tensors import Box
from shards import cut_draft, rows

VALUES = {
    "a": np.arange(600, dtype=np.float32).reshape(30, 20),
    "b": np.arange(600, 1200, dtype=np.float32).reshape(30, 20),
    "c": np.arange(500, dtype=np.int64),
}
CUTS: dict[int, tuple[int, ...]] = {1: (), 2: (10, 20)}
"""Where tensors of so many axes are cut."""

OTHERS: list[Any] = [
    0,
    1,
    2,
    3,
    7,
    30,
    10**6,
    2**63,
    10**40,
    -1,
    1.5,
    None,
    True,
    "",
    "I32",
    "0" * 64,
    [],
    [0],
    {},
]
"""What takes the place of a field."""


def written(document: Any) -> bytes:
    """As Saver writes it, if it can be."""
    try:
        return canonical(document)
    except ValueError:
        return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


class Made:
    """A version of three tensors in four pages, as JSON that can be changed."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.store = saver.Saver(self.storage)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grid, "BOXES", 0)
            patch.setattr(grid, "PAGE_BOXES", 2)
            patch.setattr(stage, "FILE_BYTES", 0)
            draft = cut_draft("m", VALUES, lambda _, array: rows(array.shape, *CUTS[array.ndim]))
            self.version = save_version(self.store._repo, draft)
        self.manifest = json.loads(self.storage.read(manifest_key(self.version.manifest)))
        names = self.manifest["grid"]["pages"]
        self.pages = [json.loads(self.storage.read(tree_key(name))) for name in names]

    def version_of(self, manifest: Any, pages: list[Any]) -> Version:
        """The version that such documents describe, with hashes that match."""
        manifest, names = copy.deepcopy(manifest), []
        for page in pages:
            text = written(page)
            names.append(blake3(text).hexdigest())
            self.storage.create(tree_key(names[-1]), text)
        before = self.manifest["grid"]["pages"]
        if isinstance(manifest.get("grid"), dict) and isinstance(manifest["grid"].get("pages"), list):
            given = dict(zip(before, names, strict=True))
            listed = manifest["grid"]["pages"]
            manifest["grid"]["pages"] = [given.get(n, n) if isinstance(n, str) else n for n in listed]
        text = written(manifest)
        digest = blake3(text).hexdigest()
        self.storage.create(manifest_key(digest), text)
        listed = manifest["grid"].get("pages") if isinstance(manifest.get("grid"), dict) else []
        trees = tuple(sorted(n for n in listed if isinstance(n, str))) if isinstance(listed, list) else ()
        return msgspec.structs.replace(self.version, manifest=digest, trees=trees)


made = Made()


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in JSON."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from leaves(item, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    found = copy.deepcopy(document)
    at = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return found


def missing(document: Any, path: tuple[Any, ...]) -> Any:
    found = copy.deepcopy(document)
    at = found
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return found


def assert_right_or_refused(version: Version, what: object) -> bool:
    """Whole, part by part, and box by box."""
    refused = False
    try:
        for name, value in open_version(made.store._repo, version).load(()).items():
            np.testing.assert_array_equal(value, VALUES[name], str(what))
            assert value.dtype == VALUES[name].dtype, what
    except SaverError:
        refused = True
    for box in (Box((0, 3), (9, 5)), Box((8, 0), (20, 20))):
        try:
            data = open_version(made.store._repo, version).tensors.read("b", box)
        except (SaverError, ValueError, KeyError):
            refused = True
            continue
        assert data.tobytes() == np.ascontiguousarray(VALUES["b"][box.slices]).tobytes(), what
    return refused


def changes(document: Any) -> Iterator[tuple[Any, Any]]:
    for path in leaves(document):
        for value in OTHERS:
            yield (path, value), changed(document, path, value)
        yield (path, "missing"), missing(document, path)


def test_it_is_read_as_it_was_saved() -> None:
    assert not assert_right_or_refused(made.version_of(made.manifest, made.pages), "unchanged")


def test_any_change_of_the_grid_is_refused_or_does_no_harm() -> None:
    every = [*changes(made.manifest["grid"])]
    kept = [
        what
        for what, found in every
        if not assert_right_or_refused(made.version_of({**made.manifest, "grid": found}, made.pages), what)
    ]
    assert len(kept) < len(every) / 4


@pytest.mark.parametrize("at", range(len(made.pages)))
def test_any_change_of_a_page_is_refused_or_does_no_harm(at: int) -> None:
    for what, found in changes(made.pages[at]):
        pages = [*made.pages[:at], found, *made.pages[at + 1 :]]
        harmless = not assert_right_or_refused(made.version_of(made.manifest, pages), what)
        path, value = what
        sizes = any(word in path for word in ("shape", "box", "dtype", "hash"))
        assert not (harmless and sizes and value == 10**6), what


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: b"", lambda text: text + b" "])
def test_bytes_of_a_page_that_are_not_those_that_were_written_are_damage(change: Any) -> None:
    again = Made()
    for name in again.manifest["grid"]["pages"]:
        text = again.storage.read(tree_key(name))
        again.storage.delete(tree_key(name))
        again.storage.create(tree_key(name), change(text))
        with pytest.raises(DamagedError, match=r"trees/.*not those that were written"):
            again.store.load("m")
        assert {each.key for each in again.store.check().damage} == {tree_key(name)}
        again.storage.delete(tree_key(name))
        again.storage.create(tree_key(name), text)


def test_a_page_that_is_missing_is_damage_and_boxes_of_other_pages_are_read() -> None:
    again = Made()
    again.storage.delete(tree_key(again.manifest["grid"]["pages"][-1]))
    with pytest.raises(DamagedError, match="is missing"):
        again.store.load("m", parts=["c"])
    opened = open_version(again.store._repo, again.version)
    assert opened.tensors.read("a", Box((0, 0), (2, 20))).tobytes() == VALUES["a"][:2].tobytes()


def test_a_reader_that_does_not_know_the_grid_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saver.repo.manifest.FEATURES", frozenset[str]())
    with pytest.raises(IncompatibleError, match="needs grid, which this Saver does not have"):
        made.store.load("m")


LISTED = {"x": {"dtype": "U8", "shape": [], "shards": [{"hash": "0" * 64}]}}


@pytest.mark.parametrize("change", [{"requires": []}, {"grid": None}, {"tensors": LISTED}])
def test_a_manifest_that_contradicts_itself_about_its_form_is_refused(change: Any) -> None:
    version = made.version_of({**made.manifest, **change}, made.pages)
    with pytest.raises(IncompatibleError, match=r"contradict each other|is null"):
        open_version(made.store._repo, version)


def test_two_shards_over_each_other_and_a_gap_are_refused() -> None:
    for at, offsets in ((0, [3, 0]), (0, [1, 0])):
        page = copy.deepcopy(made.pages[at])
        tensor = next(iter(page["shards"]["tensors"].values()))
        tensor["shards"][0]["box"][0] = offsets
        version = made.version_of(made.manifest, [*made.pages[:at], page, *made.pages[at + 1 :]])
        with pytest.raises(IncompatibleError):
            open_version(made.store._repo, version).load(())
        with pytest.raises(IncompatibleError):
            open_version(made.store._repo, version).tensors.read("a", Box((0, 0), (10, 20)))
