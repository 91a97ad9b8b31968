"""The specification is enough: a reader that knows only docs/format/ reads what Saver writes."""

from __future__ import annotations

import ast
import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import golden_grid
import numpy as np
import pytest
from blake3 import blake3
from format_reader import Reader, Values, Wrong
from golden_grid import GRIDS
from golden_profiles import PROFILES, plain
from golden_store import STORE
from golden_values import GOLDEN
from store_reader import StoreReader

import saver
from equality import assert_same
from saver.repo.save import save_version
from saver.storages.memory import MemoryStorage
from shards import cut_draft, rows

FOLDER = Path(__file__).parent
golden = pytest.mark.parametrize("name", GOLDEN)


def test_the_reader_does_not_know_saver() -> None:
    for module in ("format_reader.py", "store_reader.py", "signature_reader.py"):
        tree = ast.parse((FOLDER / module).read_text())
        names = {
            alias.name for item in ast.walk(tree) if isinstance(item, ast.Import) for alias in item.names
        }
        names |= {item.module or "" for item in ast.walk(tree) if isinstance(item, ast.ImportFrom)}
        known = {*sys.stdlib_module_names, "numpy", "blake3", "cryptography", "format_reader", "store_reader"}
        assert {name.partition(".")[0] for name in names} <= known


@golden
def test_a_reader_written_from_the_specification_rebuilds_every_value(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.saver"
    saver.dump(GOLDEN[name](), path)
    assert_same(GOLDEN[name](), Values(Reader(path)).load())


@golden
def test_a_reader_written_from_the_specification_knows_when_parts_are_equal(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.saver"
    saver.dump(GOLDEN[name](), path)
    values = Values(Reader(path))
    for part in saver.describe(path).parts:
        assert values.part_hash(part.name) == part.hash


CORPUS = FOLDER.parent / "conformance"
SOUND = [
    case
    for case in json.loads((CORPUS / "cases.json").read_text())
    if case["verdict"] == "valid" and case["layer"] in (1, 2, 5) and "cycle-of-tuple" not in case["file"]
]


@pytest.mark.parametrize("case", SOUND, ids=[case["file"] for case in SOUND])
def test_the_readers_of_the_specification_read_the_sound_files_of_the_corpus(case: dict[str, Any]) -> None:
    """A tuple in a cycle is beyond them: they make it at once."""
    if "shape-64" in case["file"] and np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.skip("NumPy 1 has no arrays of more than 32 axes")
    path = CORPUS / case["file"]
    reader: Any = StoreReader(path).open(case["open"]) if "open" in case else Reader(path)
    values = Values(reader)
    values.load()
    expected = json.loads((CORPUS / case["expected"]).read_text())
    assert {name: blake3(found.tobytes()).hexdigest() for name, found in reader.tensors.items()
            if name in expected["tensors"]} == {
        name: tensor["blake3"] for name, tensor in expected["tensors"].items()
    }  # fmt: skip
    assert [[name, values.part_hash(name)] for name in values.manifest["parts"]] == [
        [name, digest] for name, digest, _ in expected["parts"]
    ]


def test_a_reader_written_from_the_specification_verifies_blocks(tmp_path: Path) -> None:
    data = np.zeros((8 << 20) + 5, np.uint8)
    data[::999_983] = 7
    path = tmp_path / "large.saver"
    saver.dump(data, path)
    assert (Reader(path).tensors["model"] == data).all()
    with open(path, "r+b") as file:
        file.seek(-3, 2)
        file.write(b"x")
    with pytest.raises(Wrong, match="blocks"):
        Reader(path)


def test_a_reader_written_from_the_specification_puts_shards_together(tmp_path: Path) -> None:
    table = {"table": np.arange(2400.0).reshape(40, 60), "other": np.arange(300)}
    store = saver.Saver(MemoryStorage())
    save_version(store._repo, cut_draft("m", table, lambda name, array: rows(array.shape, 7, 20)))
    path = tmp_path / "m.saver"
    store.export("m", path)
    values = Values(Reader(path))
    assert_same(table, values.load())
    for part in saver.describe(path).parts:
        assert values.part_hash(part.name) == part.hash


@golden
def test_files_of_the_first_format_are_read_forever(name: str) -> None:
    assert_same(GOLDEN[name](), saver.load(FOLDER / f"{name}.1.saver"))


@golden
def test_the_reader_of_the_specification_reads_the_golden_files(name: str) -> None:
    assert_same(GOLDEN[name](), Values(Reader(FOLDER / f"{name}.1.saver")).load())


@golden
def test_what_a_golden_file_holds_still_has_the_same_bytes(name: str, tmp_path: Path) -> None:
    """Equal states give equal bytes, also over releases: otherwise nothing deduplicates."""
    path = tmp_path / "a.saver"
    saver.dump(GOLDEN[name](), path)

    def parts(path: Path) -> Any:
        return {part.name: part.hash for part in saver.describe(path).parts}

    assert parts(path) == parts(FOLDER / f"{name}.1.saver")


@pytest.mark.parametrize("name", PROFILES)
def test_files_of_libraries_are_read_forever(name: str) -> None:
    pytest.importorskip(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # another version of the library wrote it
        loaded = saver.load(FOLDER / f"{name}.1.saver")
    assert list(loaded) == list(PROFILES[name]())
    assert_same(plain(PROFILES[name]()), plain(loaded))


def test_no_golden_file_was_changed() -> None:
    """Files are only added: `kept.json` has the BLAKE3 of each."""
    kept = json.loads((FOLDER / "kept.json").read_text())
    files = [path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    found = {path.relative_to(FOLDER).as_posix(): path for path in files if path.suffix != ".py"}
    found.pop("kept.json")
    assert {name: blake3(path.read_bytes()).hexdigest() for name, path in found.items()} == kept


stored = pytest.mark.parametrize("ref", STORE)


@stored
def test_stores_of_the_first_format_are_read_forever(ref: str) -> None:
    assert_same(STORE[ref](), saver.Saver(FOLDER / "store.1").load(ref))


@stored
def test_the_reader_of_the_specification_reads_the_golden_store(ref: str) -> None:
    store = StoreReader(FOLDER / "store.1")
    full = ref if "@" in ref else f"{ref}@1"
    assert_same(STORE[ref](), Values(store.open(full)).load())


@pytest.mark.parametrize("ref", GRIDS)
def test_versions_in_the_grid_form_are_read_forever(ref: str, tmp_path: Path) -> None:
    """By Saver, and by the reader of the specification, which knows the hashes of parts, too."""
    for folder in (FOLDER / "grid.1", tmp_path):
        if folder is tmp_path:
            golden_grid.make(folder)
        store = saver.Saver(folder)
        assert_same(GRIDS[ref](), store.load(ref))
        version = StoreReader(folder).open(ref)
        assert len(version.pages) > 1
        values = Values(version)
        assert_same(GRIDS[ref](), values.load())
        for name, part in store.version(ref).parts.items():
            assert values.part_hash(name) == part.hash
        assert store.check().sound


def test_the_golden_store_has_a_record_of_every_kind() -> None:
    store = StoreReader(FOLDER / "store.1")
    assert store.kinds == {"commit", "tag", "label", "note", "delete", "condemn", "relocate", "harm"}
    found = saver.Saver(FOLDER / "store.1")
    assert {str(version) for model in found.models() for version in found.versions(model)} == set(
        store.versions
    )
    tags = {f"{v.model}@{tag}": str(v) for m in found.models() for v in found.versions(m) for tag in v.tags}
    assert tags == store.tags
    assert list((FOLDER / "store.1" / "state").glob("*.json"))
    assert found.version("golden@moving") == found.version("golden@step=3")


def test_the_golden_store_has_the_document_of_a_part_that_versions_share() -> None:
    store = StoreReader(FOLDER / "store.1")
    assert store.versions["forest@2"]["trees"] == store.versions["forest@3"]["trees"] != []
    assert len(list((FOLDER / "store.1" / "trees").rglob("*.json"))) == 1


def test_the_golden_store_has_versions_that_are_one_file_and_others() -> None:
    store = StoreReader(FOLDER / "store.1")
    files = {ref: event["file"] for ref, event in store.versions.items() if event.get("file")}
    assert set(files) < set(store.versions)
    path = FOLDER / "store.1" / "packs" / f"{files['small@1']}.safetensors"
    assert_same(STORE["small"](), saver.load(path))


def test_a_store_of_the_first_format_can_be_written_on(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "store.1", tmp_path / "store")
    store = saver.Saver(tmp_path / "store")
    assert store.save("golden", STORE["golden@3"]()).number == 5
    assert {name: part.hash for name, part in store.version("golden@5").parts.items()} == {
        name: part.hash for name, part in store.version("golden@3").parts.items()
    }
    assert Values(StoreReader(tmp_path / "store").open("golden@5")).load()["scalars"] == [1, 2.5]
    assert store.check().sound


def test_labels_and_notes_are_those_of_the_log() -> None:
    read, found = StoreReader(FOLDER / "store.1"), saver.Saver(FOLDER / "store.1")
    version, model = found.version("labelled@1"), found.summary("labelled")
    assert version.labels == read.versions["labelled@1"]["labels"] == {"Reviewed-by": "bob", "stage": "old"}
    assert version.notes == read.versions["labelled@1"]["notes"] == "first, and noted\nafterwards"
    assert version.author == read.versions["labelled@1"]["author"] == "ann"
    assert {"labels": model.labels, "notes": model.notes} == read.models["labelled"]
    assert found.check().sound
