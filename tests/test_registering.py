"""Whatever a refusal suggests works when it is done: for the public classes of the libraries in models."""

from __future__ import annotations

import collections
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import saver
from saver import trust
from saver.codec import forget_codecs

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

MODULES = (
    "argparse", "calendar", "codecs", "collections", "configparser", "contextvars", "csv", "datetime",
    "decimal", "email.message", "enum", "fractions", "functools", "graphlib", "http.cookies", "inspect",
    "io", "ipaddress", "json", "logging", "operator", "optparse", "pathlib", "pprint", "queue", "random",
    "re", "sched", "shlex", "statistics", "string", "struct", "tempfile", "textwrap", "threading", "time",
    "timeit", "traceback", "types", "typing", "uuid", "weakref", "zipfile", "zoneinfo", "numpy",
    "numpy.polynomial", "numpy.random", "numpy.ma", "pandas", "pandas.api.extensions", "pandas.io.formats",
    "scipy.interpolate", "scipy.optimize", "scipy.signal", "scipy.spatial", "scipy.spatial.transform",
    "scipy.stats", "scipy.stats.qmc", "scipy.sparse", "scipy.sparse.linalg", "scipy.integrate",
    "sklearn.base", "sklearn.metrics", "sklearn.model_selection", "sklearn.pipeline", "sklearn.utils",
    "sklearn.feature_extraction.text", "sklearn.gaussian_process.kernels", "sklearn.inspection",
    "sklearn.exceptions", "joblib", "torch.optim", "torch.optim.lr_scheduler", "torch.utils.data",
    "torch.distributions",
)  # fmt: skip
ARGUMENTS: tuple[tuple[Any, ...], ...] = ((), (1,), ("a",), ([1.0, 2.0],), (1, 2), (len,))
"""What constructors are tried with: with the first that they take, an instance is made."""
ALIKE = ("numpy.longlong", "numpy.ulonglong", "numpy.memmap")
"""Two names of one type, and an array whose file is left behind."""
DANGEROUS = frozenset(
    ("BasicIO", "Popen", "TemporaryDirectory", "NamedTemporaryFile", "SpooledTemporaryFile")
)


def instances() -> Iterator[tuple[str, Any]]:
    for module in MODULES:
        found = importlib.import_module(module)
        for name, cls in sorted(vars(found).items()):
            if name[0] == "_" or not inspect.isclass(cls) or name in DANGEROUS:
                continue
            for arguments in ARGUMENTS:
                try:
                    made = cls(*arguments)
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    continue
                yield f"{module}.{name}", made
                break


@pytest.fixture(autouse=True)
def registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(trust, "_registered", set())
    forget_codecs()
    yield
    forget_codecs()


def held(obj: Any, name: str) -> Any:
    """The class of that name which a refusal of `obj` names: its own, or one of what it holds."""
    import threading

    if name.startswith("threading."):
        return getattr(threading, name.partition(".")[2])
    waiting, seen = [obj], set[int]()
    while waiting:
        item = waiting.pop()
        if id(item) in seen or len(seen) > 20_000:
            continue
        seen.add(id(item))
        if type(item).__name__ == name and trust.is_registered(type(item)) is False:
            return type(item)
        own = getattr(item, "__dict__", None)
        slots = [
            getattr(item, slot, None)
            for base in type(item).__mro__
            for slot in vars(base).get("__slots__", ())
        ]
        waiting += [*(own.values() if isinstance(own, dict) else ()), *slots]
        waiting += list(item) if isinstance(item, (list, tuple, set, frozenset)) else []
        waiting += list(item.values()) if isinstance(item, dict) else []
    return None


def test_what_a_refusal_suggests_works_when_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tried = collections.Counter[str]()
    wrong = []
    for name, made in instances():
        for _ in range(12):
            try:
                data = saver.dumps({"a": made})
            except saver.CannotSaveError as error:
                call = re.search(r"`saver\.register\(([\w.]+)\)`", str(error))
                if call is None:
                    tried["refused"] += 1
                    break
                cls = held(made, call.group(1))
                if cls is None:
                    wrong.append(f"{name}: {call.group(0)} names nothing: {error}")
                    break
                try:
                    saver.register(cls)
                except saver.SaverError as refusal:
                    wrong.append(f"{name}: {call.group(0)} is refused: {refusal}")
                    break
                tried["registered"] += 1
                continue
            try:
                found = saver.loads(data, trust=["*"])["a"]
            except saver.SaverError as error:
                wrong.append(f"{name} is saved and not loaded: {error}")
            else:
                if type(found) is not type(made) and name not in ALIKE:
                    wrong.append(f"{name}: a {type(made)} became a {type(found)}")
            tried["saved"] += 1
            break
        else:
            wrong.append(f"{name}: one registration led to the next")
    assert not wrong, "\n".join(wrong)
    assert tried["saved"] > 300
    assert tried["registered"] > 20


class Frame(pd.DataFrame):
    pass


class Slow(torch.Tensor):
    pass


class Group(collections.UserDict[str, int]):
    pass


def test_only_what_can_be_carried_is_registered() -> None:
    for cls in (Frame, Slow):
        with pytest.raises(saver.CannotSaveError, match="inherits from"):
            saver.register(cls)
    assert saver.register(Group) is Group
    assert saver.loads(saver.dumps(Group(a=1))) == {"a": 1}
    with pytest.raises(saver.CannotSaveError, match="has a data form already"):
        saver.register(pd.DataFrame)
    with pytest.raises(TypeError, match="is not a class"):
        saver.register(5)
