"""The lists of classes that codecs may be asked for fit the libraries that are installed."""

from __future__ import annotations

import ast
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import classes
import pytest

import saver
from saver import registry, trust
from saver.errors import IncompatibleError, NotFoundError

CODECS = [(family, codec) for family, places in classes.PLACES.items() for codec in places]
RUN = "run `python tests/families/classes.py {}`"


FEW = 5
"""A codec may have so few classes that another version has none of them."""


DEFINED = {
    "codecs": {"CODECS"}, "references": {"REFERENCES"}, "run": {"FRAMEWORK"},
    "facts": {"hardware", "generators"}, "fingerprints": {"fingerprint"}, "frames": {"frame_of"},
}  # fmt: skip
"""What the modules that a declaration names must define."""


@pytest.mark.parametrize("family", registry.families(), ids=lambda family: family.name)
def test_the_modules_of_a_family_define_what_saver_asks_them_for(family: Any) -> None:
    """Read, not imported: the library may be missing here."""
    for field, names in DEFINED.items():
        if module := getattr(family, field):
            path = Path(saver.__file__).parents[1] / f"{module.replace('.', '/')}.py"
            found = set[str]()
            for each in ast.parse(path.read_text("utf-8")).body:
                targets = each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", each)]
                found |= {getattr(target, "id", getattr(target, "name", "")) for target in targets}
                found |= {alias.name for alias in getattr(each, "names", ())}
            assert names <= found, (module, names - found)


@pytest.fixture(scope="module")
def installed() -> Any:
    """What the generator finds, by family."""
    found: dict[str, dict[str, list[str]]] = {}

    def find(family: str) -> dict[str, list[str]]:
        pytest.importorskip(family)
        if family not in found:
            found[family] = classes.find(family)
        return found[family]

    return find


@pytest.mark.parametrize(("family", "codec"), CODECS)
def test_every_class_that_is_installed_is_listed(family: str, codec: str, installed: Any) -> None:
    missing = set(installed(family)[codec]).difference(classes.load(family)["codecs"][codec])
    assert not missing, RUN.format(family)


def test_every_list_has_a_generator() -> None:
    lists = {path.parent.name for path in classes.path_of("sklearn").parents[1].glob("*/classes.json")}
    assert lists == classes.PLACES.keys()


@pytest.mark.parametrize("family", classes.PLACES)
def test_the_installed_version_is_listed_or_newer(family: str) -> None:
    pytest.importorskip(family)
    versions, here = classes.load(family)["versions"], classes.version_of(family)
    newest = max(map(classes.order, versions))
    assert here in versions or classes.order(here) > newest, RUN.format(family)


def function(name: str) -> Any:
    module, _, last = name.partition(":")
    try:
        return getattr(import_module(module), last)
    except AttributeError as error:
        raise NotFoundError(name) from error


@pytest.mark.parametrize(("family", "codec"), CODECS)
def test_listed_names_lead_to_classes_that_the_codec_takes(
    family: str, codec: str, installed: Any, record_property: Any
) -> None:
    installed(family)  # so that nothing below is imported for the first time, which may warn
    data = classes.load(family)
    others = [version for version in data["versions"] if version != classes.version_of(family)]
    absent = []
    for name in data["codecs"][codec]:
        try:
            cls = function(name) if codec == "keras.function" else trust.resolve(name)
        except (NotFoundError, IncompatibleError):
            absent.append(name)
            continue
        takers = [each for each in data["codecs"] if classes.takes(each, cls)]
        if not takers and others and classes.order(others[-1]) > classes.order(classes.version_of(family)):
            absent.append(name)  # its bases were others
        else:
            assert takers == [codec], name
    record_property("of other versions", absent)
    assert 2 * len(absent) <= len(data["codecs"][codec]) or len(absent) < FEW, absent


def test_classes_that_must_first_be_enabled_are_listed() -> None:
    names = classes.load("sklearn")["codecs"]["sklearn.estimator"]
    assert {name.rpartition(":")[2] for name in names} >= {
        "IterativeImputer", "HalvingGridSearchCV", "HalvingRandomSearchCV",
    }  # fmt: skip


@pytest.mark.parametrize("family", classes.PLACES)
def test_the_lists_are_as_the_generator_writes_them(family: str) -> None:
    text, data = classes.path_of(family).read_text(), classes.load(family)
    assert text == json.dumps(data, indent=1) + "\n"
    assert sorted(data["versions"], key=classes.order) == data["versions"]
    assert data["codecs"].keys() == classes.PLACES[family].keys()
    for codec, names in data["codecs"].items():
        assert names == sorted(set(names)), codec
        assert all(name.startswith(classes.PLACES[family][codec]) for name in names)


def test_names_are_only_ever_added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(classes, "ROOT", tmp_path)
    for version, name in (("1.10.0", "sklearn.b:B"), ("1.9.0", "sklearn.a:A"), ("1.9.0", "sklearn.b:B")):
        classes.merge("sklearn", version, {"sklearn.object": [name]})
    assert classes.load("sklearn") == {
        "versions": ["1.9.0", "1.10.0"],
        "codecs": {"sklearn.object": ["sklearn.a:A", "sklearn.b:B"]},
    }


@pytest.mark.slow
def test_the_source_of_a_version_tells_what_importing_it_does(installed: Any) -> None:
    torch = pytest.importorskip("torch")
    read = classes.read("torch", Path(torch.__file__).parents[1])
    moved = {"torch.optim:Adafactor", "torch.optim:Muon"}  # torch sets their `__module__` afterwards
    for codec, names in installed("torch").items():
        assert set(names) - moved == {name for name in read[codec] if not name.startswith("torch.optim._")}
