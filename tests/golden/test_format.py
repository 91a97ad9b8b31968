"""The specification is enough: a reader that knows only docs/format.md reads what Saver writes."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_reader import Reader, Values, Wrong
from golden_values import GOLDEN

import saver
from equality import assert_same

FOLDER = Path(__file__).parent
golden = pytest.mark.parametrize("name", GOLDEN)


def test_the_reader_does_not_know_saver() -> None:
    import format_reader

    tree = ast.parse(Path(format_reader.__file__).read_text())
    names = {alias.name for item in ast.walk(tree) if isinstance(item, ast.Import) for alias in item.names}
    names |= {item.module or "" for item in ast.walk(tree) if isinstance(item, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "numpy", "blake3"}


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


def test_a_reader_written_from_the_specification_verifies_blocks(tmp_path: Path) -> None:
    data = np.zeros((64 << 20) + 5, np.uint8)
    data[::999_983] = 7
    path = tmp_path / "large.saver"
    saver.dump(data, path)
    assert (Reader(path).tensors["model"] == data).all()
    with open(path, "r+b") as file:
        file.seek(-3, 2)
        file.write(b"x")
    with pytest.raises(Wrong, match="blocks"):
        Reader(path)


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
