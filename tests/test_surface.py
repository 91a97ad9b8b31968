"""What people can see and rely on: the public names, for people and type checkers, and the stable modules."""

from __future__ import annotations

import ast
import builtins
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import saver
from saver.policy import Policy, Retention

ROOT = Path(__file__).parent.parent
STABLE = [
    "saver", "saver.errors", "saver.handle", "saver.policy", "saver.training_log", "saver.checkpoints.events",
    "saver.predicting", "saver.schema", "saver.restoring", "saver.codec", "saver.family",
    "saver.tree", "saver.tensors", "saver.trust", "saver.storage",
    "saver.cluster", "saver.clusters.storage", "saver.clusters.ray", "saver.clusters.slurm",
    "saver.clusters.sockets",
    "saver.storages.local", "saver.storages.memory", "saver.rehearsal", "saver.testing",
]  # fmt: skip


def test_dir_shows_the_public_names_and_no_others() -> None:
    for module in pkgutil.iter_modules(saver.__path__):  # what was imported is an attribute of `saver`
        if module.name != "__main__":
            import_module(f"saver.{module.name}")
    assert dir(saver) == sorted([*saver.__all__, "__version__"])


def test_every_public_name_can_be_had_from_a_star() -> None:
    names: dict[str, object] = {}
    exec("from saver import *", names)
    assert names.keys() - {"__builtins__"} == {*saver.__all__}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'saver' has no attribute 'nonsense'"):
        saver.nonsense  # type: ignore[attr-defined]  # noqa: B018


def checked(source: str, folder: Path) -> list[str]:
    """What mypy says about a program that uses Saver."""
    pytest.importorskip("mypy")
    program = folder / "program.py"
    program.write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", str(program)],
        cwd=ROOT, env={**os.environ, "MYPYPATH": str(ROOT / "src")}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return [line.partition(": ")[2] for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_type_checkers_report_names_that_are_not_there(tmp_path: Path) -> None:
    told = checked("import saver\nsaver.nonsense\nsaver.lod('a')\nfrom saver import Sever\n", tmp_path)
    assert [line for line in told if line.startswith("error")] == [
        'error: Module has no attribute "nonsense"  [attr-defined]',
        'error: Module has no attribute "lod"; maybe "load"?  [attr-defined]',
        'error: Module "saver" has no attribute "Sever"; maybe "Saver"?  [attr-defined]',
    ]


def test_type_checkers_know_what_a_save_returns(tmp_path: Path) -> None:
    told = checked(
        "import saver\n"
        "store = saver.Saver('models')\n"
        "reveal_type(store.save('iris', [1]))\n"
        "reveal_type(store.save('iris', [1], wait=False))\n"
        "reveal_type(store.save('iris', [1], wait=False).result())\n"
        "async def wait() -> saver.Version:\n"
        "    return await store.save('iris', [1], wait=False)\n"
        "store.load(store.version('iris'))\n",
        tmp_path,
    )
    assert told == [
        'note: Revealed type is "saver.repo.version.Version"',
        'note: Revealed type is "saver.handle.Handle"',
        'note: Revealed type is "saver.repo.version.Version"',
    ]


def test_the_stable_modules_are_those_of_the_docs() -> None:
    table = re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs/modules.md").read_text(), re.MULTILINE)
    assert table == STABLE


@pytest.mark.parametrize("name", STABLE)
def test_a_stable_module_says_what_it_is_for_and_what_is_public(name: str) -> None:
    module = import_module(name)
    assert module.__doc__
    names = public(module)
    assert names
    for each in names:
        assert hasattr(module, each)


def public(module: ModuleType) -> list[str]:
    """The names that a module says are public: those of `__all__`, or all that it defines."""
    listed: list[str] | None = getattr(module, "__all__", None)
    if listed is not None:
        return listed
    return [
        name for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", module.__name__) == module.__name__
    ]  # fmt: skip


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
)
def test_the_docs_import_from_stable_modules_alone(page: str) -> None:
    text = (ROOT / page).read_text()
    used = re.findall(r"^\s*(?:from (saver[\w.]*) import|import (saver[\w.]*))", text, re.MULTILINE)
    names = {one or other for one, other in used}
    assert {name for name in names if not name.startswith("saver.integrations.")} <= {*STABLE}


def test_what_is_not_listed_is_internal_whatever_its_name() -> None:
    """So modules need no underscore: docs/decisions/0024."""
    page = " ".join((ROOT / "docs/modules.md").read_text().split())
    assert "Every other module is internal, even if its name has no underscore" in page


def contracts() -> list[type]:
    """The classes in stable modules that others subclass."""
    found = {
        value
        for module in map(import_module, STABLE)
        for value in map(vars(module).get, public(module))
        if inspect.isabstract(value)
    }
    return sorted({*found, Policy, Retention}, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


@pytest.mark.parametrize("contract", contracts(), ids=lambda cls: cls.__qualname__)
def test_a_contract_can_be_implemented_with_stable_modules_alone(contract: type) -> None:
    """What its methods get and return has a name in one of them, or is not Saver's."""
    names = {name for module in map(import_module, STABLE) for name in public(module)}
    for method, function in inspect.getmembers(contract, inspect.isfunction):
        if method.startswith("_"):
            continue
        there = vars(sys.modules[function.__module__])
        for annotation in map(str, function.__annotations__.values()):
            used = {item.id for item in ast.walk(ast.parse(annotation)) if isinstance(item, ast.Name)}
            own = {
                name for name in used - vars(builtins).keys()
                if getattr(there.get(name), "__module__", "saver").partition(".")[0] == "saver"
            }  # fmt: skip
            assert own <= names, f"{method}: {own - names}"
