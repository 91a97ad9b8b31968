"""A class that has another name where it is loaded: trained in a script, or moved by its package."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import saver
from saver import Every, allowing, configuration, trust
from saver.opening import open_file
from saver.tree import Node

SOURCE = """
import dataclasses, enum, typing
import torch
from sklearn.base import BaseEstimator

class Net(torch.nn.Linear):
    pass

class Sgd(torch.optim.SGD):
    pass

class Estimator(BaseEstimator):
    def __init__(self, a=1):
        self.a = a

@dataclasses.dataclass
class Point:
    x: int = 3

class Color(enum.Enum):
    RED = 1

class Pair(typing.NamedTuple):
    a: int
    b: int

class Outer:
    class Inner(BaseEstimator):
        pass

def double(x):
    return 2 * x
"""

MADE: dict[str, Callable[[Any], Any]] = {
    "Net": lambda module: module.Net(2, 2),
    "Estimator": lambda module: module.Estimator(5),
    "Point": lambda module: module.Point(7),
    "Color": lambda module: module.Color.RED,
    "Pair": lambda module: module.Pair(1, 2),
    "Outer.Inner": lambda module: module.Outer.Inner(),
    "double": lambda module: FunctionTransformer(module.double),
}
"""An object of each kind of class that files name, and of a function."""


def named(thing: Any, qualname: str) -> Any:
    for step in qualname.split("."):
        thing = getattr(thing, step)
    return thing


def module(name: str) -> types.ModuleType:
    made = sys.modules[name] = types.ModuleType(name)
    exec(SOURCE, vars(made))
    return made


@pytest.fixture
def script() -> Iterator[types.ModuleType]:
    """The module in which things are saved, under a name that is gone when they are loaded."""
    yield module("the_script")
    sys.modules.pop("the_script", None)


@pytest.fixture
def package() -> Iterator[types.ModuleType]:
    """The module in which their classes are when they are loaded."""
    yield module("the_package")
    sys.modules.pop("the_package", None)


@pytest.fixture
def saved(script: types.ModuleType, tmp_path: Path) -> Callable[[str], Path]:
    def run(kind: str) -> Path:
        saver.dump(MADE[kind](script), tmp_path / "a.saver")
        del sys.modules["the_script"]
        return tmp_path / "a.saver"

    return run


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("by", ["class", "name", "exact name"])
def test_a_class_given_for_a_name_is_used_and_needs_no_other_trust(
    kind: str, lazy: bool, by: str, saved: Callable[[str], Path], package: types.ModuleType
) -> None:
    given: Any = {"class": named(package, kind), "name": f"the_package.{kind}"}.get(by, f"the_package:{kind}")
    classes = {f"the_script.{kind}": given}
    path = saved(kind)
    for found in (
        saver.load(path, classes=classes, lazy=lazy),
        saver.loads(path.read_bytes(), classes=classes, lazy=lazy),
    ):
        if kind == "double":
            assert found.func is package.double
        else:
            assert type(found) is named(package, kind)


@pytest.mark.parametrize("kind", MADE)
def test_what_a_refusal_suggests_for_classes_of_a_script_works_where_they_are_imported(
    kind: str, saved: Callable[[str], Path], package: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowing, "MAIN", "the_script")
    path = saved(kind)
    with pytest.raises(saver.UntrustedError) as refused:
        saver.load(path)
    suggested = str(refused.value).rpartition("pass ")[2]
    assert suggested == allowing.allowing(refused.value.names) == f'classes={{"the_script.{kind}": {kind}}}'
    assert saver.load(path, **eval(f"dict({suggested})", vars(package))) is not None


def test_classes_of_modules_are_trusted_by_name_and_those_of_scripts_are_given() -> None:
    assert allowing.allowing(["a.B", "c.D"]) == 'trust=["a.B", "c.D"]'
    assert allowing.allowing(["a.B", "__main__.C"]) == 'trust=["a.B"], classes={"__main__.C": C}'


@pytest.mark.parametrize("kind", MADE)
def test_a_class_given_for_a_name_is_not_trusted_under_any_other_name(
    kind: str, script: types.ModuleType, package: types.ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "a.saver"
    saver.dump(MADE[kind](package), path)
    with pytest.raises(saver.UntrustedError, match="the_package"):
        saver.load(path, classes={f"the_script.{kind}": named(package, kind)})


def test_without_it_the_error_says_what_to_pass(saved: Callable[[str], Path]) -> None:
    with pytest.raises(saver.NotFoundError, match=r'classes=\{"the_script.Net": Net\}'):
        saver.load(saved("Net"), trust=["the_script.*"])


def test_a_configuration_file_names_classes(
    saved: Callable[[str], Path],
    package: types.ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = tmp_path / "config.toml"
    monkeypatch.setenv("SAVER_CONFIG", str(settings))
    settings.write_text('[classes]\n"the_script.Net" = "the_package.Net"\n')
    configuration.read.cache_clear()
    path = saved("Net")
    assert type(saver.load(path)) is package.Net
    assert saver.describe(path).untrusted == ()
    settings.write_text("classes = 3\n")
    configuration.read.cache_clear()
    with pytest.raises(saver.IncompatibleError, match="table of names"):
        saver.load(path)


def test_a_store_and_a_run_take_classes_too(
    script: types.ModuleType, package: types.ModuleType, tmp_path: Path
) -> None:
    store = saver.Saver(tmp_path / "store")
    store.save("m", script.Estimator(4))
    net = script.Net(2, 2)
    objects = {"model": net, "optimizer": script.Sgd(net.parameters(), 0.1), "point": script.Point(9)}
    with store.checkpoints("run", objects, every=Every(steps=1)) as run:
        run.step(0)
    del sys.modules["the_script"]
    classes = {f"the_script.{name}": named(package, name) for name in ("Estimator", "Net", "Sgd", "Point")}
    assert store.load("m", classes=classes).a == 4
    target = package.Estimator(0)
    assert store.restore("m", target, classes=classes)
    assert target.a == 4
    saver.dump(target, tmp_path / "b.saver")
    again = package.Net(2, 2)
    objects = {"model": again, "optimizer": package.Sgd(again.parameters(), 0.5), "point": package.Point()}
    with store.checkpoints("run", objects, every=Every(steps=1)) as run:
        assert run.resume(classes=classes) == 1
    assert torch.equal(net.weight, again.weight)
    assert objects["point"].x == 9
    assert objects["optimizer"].param_groups[0]["lr"] == 0.1


def test_an_alias_is_enough_if_both_names_are_trusted(
    saved: Callable[[str], Path], package: types.ModuleType
) -> None:
    path = saved("Net")
    module("the_script").Net = package.Net  # as a package does that moved it
    try:
        assert type(saver.load(path, trust=["the_script.*", "the_package.*"])) is package.Net
        with pytest.raises(saver.IncompatibleError, match=r'trust=\["the_package\.Net"\]'):
            saver.load(path, trust=["the_script.*"])
        with pytest.raises(saver.UntrustedError, match="the_script"):
            saver.load(path, trust=["the_package.*"])
    finally:
        sys.modules.pop("the_script", None)


@pytest.mark.parametrize("name", ["sklearn.utils:os.system", "numpy.lib._datasource:os.system"])
@pytest.mark.parametrize("codec", ["function", "class", "object", "sklearn.estimator"])
def test_a_trusted_name_that_leads_to_a_foreign_function_stays_refused(name: str, codec: str) -> None:
    allowed = trust.allowed(["sklearn.*", "numpy.*"])
    trust.audit([Node(codec, name)], allowed, "here")
    with pytest.raises((saver.IncompatibleError, saver.NotFoundError)):
        allowed.find(codec, name)


def test_a_name_that_only_claims_to_be_trusted_leads_nowhere(package: types.ModuleType) -> None:
    """What is found must be what its own name leads to, not another thing with the same name."""

    class Impostor:
        pass

    Impostor.__module__, Impostor.__qualname__ = "the_package", "Net"
    module("the_script").Net = Impostor
    try:
        with pytest.raises(saver.IncompatibleError, match="leads to"):
            trust.allowed(["the_*"]).find("object", "the_script:Net")
    finally:
        sys.modules.pop("the_script", None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["a"], "pass a dict"),
        ({1: int}, "is not a name"),
        ({"a.B": 3}, "pass a class"),
        ("a.B", "pass a dict"),
    ],
)
def test_a_wrong_mapping_is_reported(wrong: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"classes.*{message}"):
        saver.loads(saver.dumps(1), classes=wrong)


def test_a_name_in_the_mapping_that_leads_nowhere_is_reported(saved: Callable[[str], Path]) -> None:
    with pytest.raises(saver.NotFoundError, match=r"classes: .nowhere\.Net., given for the_script\.Net"):
        saver.load(saved("Net"), classes={"the_script.Net": "nowhere.Net"})


SCRIPT = """
import warnings
import numpy, saver
from sklearn.base import BaseEstimator

class Estimator(BaseEstimator):
    pass

def double(x):
    return 2 * x

with warnings.catch_warnings(record=True) as met:
    warnings.simplefilter("always")
    saver.dump({"a": Estimator(), "b": [Estimator()]}, "a.saver")  # this line
    saver.Saver("store").save("m", Estimator())
    saver.dumps(numpy.arange(3))
for each in met:
    print(each.category.__name__, each.filename.endswith("train.py"), each.lineno, each.message)
"""


def test_saving_a_class_of_a_script_warns_once_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stdout
    line = SCRIPT[: SCRIPT.index("# this line")].count("\n") + 1
    assert lines[0].startswith(f"UserWarning True {line} __main__.Estimator: ")
    assert 'classes={"__main__.Estimator": Estimator}' in lines[0]
    asked = [item.cls for item in open_file(tmp_path / "a.saver").tree("a").items if type(item) is Node]
    assert asked == ["__main__:Estimator"]


def test_a_model_of_a_library_warns_of_nothing() -> None:
    rows = np.arange(8.0).reshape(4, 2)
    saver.dumps(make_pipeline(LogisticRegression()).fit(rows, [0, 1, 0, 1]))
