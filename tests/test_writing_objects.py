"""Formats that are written from an object: it is loaded under trust, and its family writes it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

import saver
from saver import registry
from saver.errors import IncompatibleError, UntrustedError
from saver.exporting import export_opened
from saver.format import Export, Loading, Loss, WritesObjects
from saver.opening import open_file


class Probe(WritesObjects):
    """A format that only objects can be written in."""

    name = "probe"
    title = "Probe"
    endings = (".probe",)
    extra = "probes"


@dataclass
class Own:
    """A class that takes trust, and derives from nothing."""


class Kin(np.ndarray[Any, Any]):
    """A class that derives from one of a library."""


Exporting = Callable[[Callable[[Export], Sequence[Loss]]], None]


@pytest.fixture
def exporting(monkeypatch: pytest.MonkeyPatch) -> Exporting:
    """Lets the family of NumPy write this format, with a function."""
    module = ModuleType("probe_of_numpy")
    family = msgspec.structs.replace(registry.family("numpy"), exports={"probe": module.__name__})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(registry._loaded, "numpy", family)
    families = tuple(family if each.name == family.name else each for each in registry.families())
    monkeypatch.setattr(registry, "families", lambda: families)
    monkeypatch.setattr(
        "saver.exporting._format", lambda path, name: Probe() if name == "probe" else pytest.fail(name)
    )

    def use(function: Callable[[Export], Sequence[Loss]]) -> None:
        module.export = function  # type: ignore[attr-defined]

    return use


def told(export: Export) -> Sequence[Loss]:
    """Writes what it was given."""
    Path(export.out.path("")).write_text(f"{type(export.obj).__name__} {export.example}")
    return [Loss(export.place, "nearly all")]


def test_the_family_of_a_class_writes_the_object(tmp_path: Path, exporting: Exporting) -> None:
    exporting(told)
    saver.dump({"a": np.ones(3), "b": 1}, tmp_path / "a.saver")
    done = saver.export(tmp_path / "a.saver", tmp_path / "a.probe", format="probe", parts="a", example=5)
    assert (tmp_path / "a.probe").read_text() == "ndarray 5"
    assert done.losses == (Loss(f"{tmp_path / 'a.saver'}: $.a", "nearly all"),)
    assert done.bytes == 9


def test_the_recorded_data_is_the_example_unless_there_is_one(tmp_path: Path, exporting: Exporting) -> None:
    exporting(told)
    store = saver.Saver(tmp_path / "store")
    store.save("m", np.ones(3), data={"X": np.ones((9, 2))})
    store.export("m", tmp_path / "a", format="probe")
    assert (tmp_path / "a").read_text() == "ndarray [[0. 0.]]"
    store.export("m", tmp_path / "a", format="probe", example="own")
    assert (tmp_path / "a").read_text() == "ndarray own"


def test_one_part_is_chosen(tmp_path: Path, exporting: Exporting) -> None:
    exporting(told)
    saver.dump({"a": np.ones(3), "b": 1}, tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match=r"Probe holds one object; .*--part.*: a, b$"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.probe", format="probe")
    with pytest.raises(IncompatibleError, match=r"builtins.int cannot be written as Probe, .* of numpy$"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.probe", format="probe", parts=["b"])
    assert not (tmp_path / "a.probe").exists()


def test_classes_are_trusted_as_when_they_are_loaded(tmp_path: Path, exporting: Exporting) -> None:
    exporting(told)
    saver.dump({"a": Own()}, tmp_path / "a.saver")
    name = f"{Own.__module__}.Own"
    out = tmp_path / "a.probe"
    with pytest.raises(UntrustedError, match=f'trust=\\["{name}"\\]'):
        saver.export(tmp_path / "a.saver", out, format="probe")
    for allowed in ({"trust": [name]}, {"classes": {name: Own}}):
        with pytest.raises(IncompatibleError, match="Own cannot be written as Probe"):
            saver.export(tmp_path / "a.saver", out, format="probe", **allowed)  # type: ignore[arg-type]
    assert not out.exists()


def test_a_class_of_ones_own_is_written_as_the_one_it_derives_from(
    tmp_path: Path, exporting: Exporting
) -> None:
    exporting(told)

    class Loaded:
        where, manifest = "x", open_file(_one(tmp_path)).manifest
        trees = {"$": None}  # noqa: RUF012

        def tree(self, name: str) -> None:
            """There is one."""

        def load(self, *args: Any, **options: Any) -> dict[str, Any]:
            return {"$": np.ones(2).view(Kin)}

    export_opened(Loaded(), tmp_path / "a", "probe")  # type: ignore[arg-type]
    assert (tmp_path / "a").read_text() == "Kin None"


def _one(folder: Path) -> Path:
    saver.dump(np.ones(2), folder / "one.saver")
    return folder / "one.saver"


def missing(export: Export) -> Sequence[Loss]:
    """Needs a package that is not there."""
    raise ModuleNotFoundError("No module named 'converter.core'", name="converter.core")


def broken(export: Export) -> Sequence[Loss]:
    """Fails as libraries do."""
    Path(export.out.path("")).write_text("half")
    raise RuntimeError("unsupported\n  operator")


def full(export: Export) -> Sequence[Loss]:
    """Has no room."""
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (missing, r"needs the package converter, .* pip install 'saver-ml\[probes\]'"),
        (broken, "ndarray cannot be written as Probe: RuntimeError: unsupported operator"),
        (full, "No space left"),
    ],
)
def test_what_fails_names_the_way_out_and_changes_nothing(
    function: Callable[[Export], Sequence[Loss]], said: str, tmp_path: Path, exporting: Exporting
) -> None:
    exporting(function)
    (tmp_path / "a.probe").write_text("precious")
    with pytest.raises(saver.SaverError, match=said):
        saver.export(_one(tmp_path), tmp_path / "a.probe", format="probe")
    assert (tmp_path / "a.probe").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.probe", "one.saver"]


def test_a_load_within_an_export_has_a_limit(tmp_path: Path, exporting: Exporting) -> None:
    exporting(told)
    saver.dump([np.ones(100_000)], tmp_path / "a.saver")
    with pytest.raises(saver.LimitExceededError):
        saver.export(tmp_path / "a.saver", tmp_path / "a.probe", format="probe", limit=1000)
    with pytest.raises(TypeError, match="trust"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.probe", format="probe", trust=True)  # type: ignore[arg-type]


def test_formats_that_are_data_need_no_trust(tmp_path: Path) -> None:
    saver.dump({"a": Own(), "w": np.ones(3)}, tmp_path / "a.saver")
    assert saver.export(tmp_path / "a.saver", tmp_path / "b.saver").losses == ()
    assert Loading().example is None
